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


def predictions(scores: Array, best: npt.NDArray[np.int64] | None = None) -> Predictions:
    """Predict from scores [N, C], C >= 2, of any floating-point dtype; `best` [N, 2 or more] spares ranking them."""
    best = best_classes(scores, 2) if best is None else best
    values = np.take_along_axis(np.asarray(scores), best[:, :2], axis=1).astype(np.float64)
    none = best[:, 0] == NO_PREDICTION
    values[none] = np.nan
    top, second = values[:, 0].copy(), values[:, 1]
    with np.errstate(invalid="ignore"):
        margin = np.where(top == second, 0.0, top - second)  # two infinities tie
    return Predictions(best[:, 0].copy(), top, margin)


def best_classes(scores: Array, k: int) -> npt.NDArray[np.int64]:
    """[N, k]: the classes of the k highest of scores [N, C], k <= C, best first, the lowest index first on ties.

    A row that holds a NaN has −1 in all k places. Taken one block of rows at a time.
    """
    rows, classes = scores.shape
    best = np.empty((rows, k), np.int64)
    for block in row_blocks(rows, classes, PIECE):
        best[block] = _best(np.asarray(scores[block]), k)
    return best


def _best(scores: Array, k: int) -> npt.NDArray[np.int64]:
    if scores.dtype.kind != "f":
        return _sorted(scores, k)
    # For the few best, the maximum again and again is several times faster than partitioning; halves have no fast one.
    left = scores.astype(np.promote_types(scores.dtype, np.float32))
    rows = np.arange(len(scores))
    best = np.empty((len(scores), k), np.int64)
    for place in range(k):
        best[:, place] = left.argmax(axis=1)  # the first NaN of a row that holds one
        taken = left[rows, best[:, place]]
        if not place:
            none = np.isnan(taken)
        left[rows, best[:, place]] = -np.inf
    spent = np.isneginf(taken) & ~none  # nothing but −inf was left, which a class already taken is too
    best[spent] = _sorted(scores[spent], k)
    best[none] = NO_PREDICTION
    return best


def _sorted(scores: Array, k: int) -> npt.NDArray[np.int64]:
    """The same of rows without a NaN; from behind, as the order is ascending and keeps equals in their order."""
    return np.asarray(scores.shape[1] - 1 - scores[:, ::-1].argsort(axis=1, kind="stable")[:, ::-1][:, :k])


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
