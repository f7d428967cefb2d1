"""Accuracy of every cell, where the samples' true classes are known; and whether labels and names fit the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from deltann.comparison.rows import without_trailing_ones
from deltann.criteria import Tasks
from deltann.errors import UsageError
from deltann.model import Model
from deltann.store import Cell, Run
from deltann.tasks import Task
from deltann.tasks.classification import NO_PREDICTION, Accuracy, Predictions, accuracy, predictions


def accuracies(
    run: Run, ok: Mapping[Cell, Mapping[str, npt.NDArray[Any]]], tasks: Tasks
) -> dict[str, dict[str, Accuracy]]:
    """Top-1 accuracy by cell and classification output, where labels are known.

    An output that the labels do not fit (boxes, features) has none.

    Raises:
        UsageError: they fit no output of a cell that has scores.
    """
    labels = run.document["labels"]
    if labels is None:
        return {}
    found: dict[str, dict[str, Accuracy]] = {}
    for cell, outputs in ok.items():
        misfits = []
        for name, scores in outputs.items():
            task = tasks.of(run.common_name(cell.role, name), scores)
            if task is Task.CLASSIFICATION and len(scores) == len(labels["values"]):
                scores = without_trailing_ones(scores)
                try:
                    hits = accuracy(predictions(scores), scores.shape[1], labels["values"], labels["offset"])
                except UsageError as error:
                    misfits.append(error)
                else:
                    found.setdefault(str(cell), {})[name] = hits
        if misfits and str(cell) not in found:
            raise misfits[0]
    return found


def check_labels(model: Model, labels: Sequence[int | None], offset: int | None) -> None:
    """Raise UsageError, before anything runs, where the labels fit none of the scores that `model` declares."""
    misfits = []
    for classes in _classes(model):
        nothing = np.full(len(labels), NO_PREDICTION, np.int64)
        unknown = np.full(len(labels), np.nan)
        try:
            accuracy(Predictions(nothing, unknown, unknown), classes, labels, offset)
        except UsageError as error:
            misfits.append(error)
        else:
            return
    if misfits:
        raise misfits[0]


def check_class_names(model: Model, names: Sequence[str]) -> None:
    """Raise UsageError, before anything runs, where none of the scores that `model` declares has so many classes."""
    counts = sorted(set(_classes(model)))
    if counts and len(names) not in counts:
        first = ", the background (class 0) too" if len(names) + 1 in counts else ""
        raise UsageError(
            f"--class-names has {len(names)} names, and {model.name} has {' or '.join(map(str, counts))} classes: "
            f"give a name for each{first}"
        )


def _classes(model: Model) -> Iterator[int]:
    """Of each output that declares itself to be scores, the number of its classes."""
    for spec in model.outputs:
        shape = spec.shape or ()
        classes = shape[1] if len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1)) else None
        if isinstance(classes, int) and classes >= 2 and np.dtype(spec.dtype).kind == "f":
            yield classes
