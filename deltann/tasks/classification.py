"""Classification: the predicted class of each sample, and how often it is the labelled one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deltann.comparison.rows import PIECE, Array, row_blocks
from deltann.errors import UsageError

NO_PREDICTION = -1
"""The label of a row that holds a NaN; it equals no other prediction, not even another of its kind."""


@dataclass(frozen=True)
class Predictions:
    """For each of N samples: the class of the highest score (int64, the lowest index on a tie; −1 where the row holds
    a NaN), that score, and its margin over the second highest (float64; NaN where there is no prediction).
    """

    label: npt.NDArray[np.int64]
    score: npt.NDArray[np.float64]
    margin: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Accuracy:
    """`correct` of `labelled` samples; samples without a label are left out of both."""

    correct: int
    labelled: int

    @property
    def rate(self) -> float:
        """The share that is correct."""
        return self.correct / self.labelled


def predictions(scores: Array) -> Predictions:
    """Predict from scores [N, C], C >= 2, of any floating-point dtype, one block of rows at a time."""
    rows, classes = scores.shape
    label = np.empty(rows, np.int64)
    score, margin = np.empty(rows), np.empty(rows)
    for block in row_blocks(rows, classes, PIECE):
        part = np.asarray(scores[block])
        best = part.argmax(axis=1)  # which is the first NaN of a row that holds one
        top = np.take_along_axis(part, best[:, None], axis=1)[:, 0].astype(np.float64)
        second = np.partition(part, classes - 2, axis=1)[:, classes - 2].astype(np.float64)
        with np.errstate(invalid="ignore"):
            gap = np.where(top == second, 0.0, top - second)  # two infinities tie
        none = np.isnan(top)
        label[block] = np.where(none, NO_PREDICTION, best)
        score[block] = top
        margin[block] = np.where(none, np.nan, gap)
    return Predictions(label, score, margin)


def accuracy(predicted: Predictions, classes: int, labels: Sequence[int | None], offset: int | None = None) -> Accuracy:
    """How many predictions equal label + offset; `labels` has one entry a sample, None where it is unknown.

    `offset` None means that the user said nothing (0), and refuses what looks like the 1000/1001 trap: ImageNet
    models with 1001 outputs keep index 0 for the background, so that each label is one off.

    Raises:
        UsageError: counts differ, no sample is labelled, a label has no output, or labels look one off.
    """
    if len(labels) != len(predicted.label):
        raise UsageError(f"{len(labels)} labels for {len(predicted.label)} samples: give one label for each sample")
    known = [(sample, label) for sample, label in enumerate(labels) if label is not None]
    if not known:
        raise UsageError("no sample has a label: check that the names in the labels file are those of the inputs")
    if offset is None and classes == 1001 and all(0 <= label <= 999 for _, label in known):
        raise UsageError(
            "labels lie in 0–999 but the model has 1001 outputs (usually background first): "
            "add --label-offset 1, or --label-offset 0 if the labels count the background"
        )
    shift = offset or 0
    for sample, label in known:
        if not 0 <= label + shift < classes:
            moved = f" with --label-offset {shift}" if shift else ""
            raise UsageError(
                f"sample {sample}: label {label}{moved} is outside the model's classes 0–{classes - 1}: "
                "correct the labels or --label-offset"
            )
    correct = sum(int(predicted.label[sample]) == label + shift for sample, label in known)
    return Accuracy(correct, len(known))
