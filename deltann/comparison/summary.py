"""What an output tells by itself: taken once a cell, where every pair that the cell is in would take it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deltann.comparison.numeric import comparable
from deltann.comparison.ranking import TOP_K
from deltann.comparison.rows import Array, root_mean_square, without_trailing_ones
from deltann.comparison.tolerance import Tolerances
from deltann.comparison.vacuity import vacuity
from deltann.tasks import Task, infer_task
from deltann.tasks.classification import Predictions, best_classes, predictions


@dataclass(frozen=True, eq=False)
class Choices:
    """What scores [N, C] choose: `best` [N, k] as of `best_classes`, k being `TOP_K`, or C where that is less."""

    predictions: Predictions
    best: npt.NDArray[np.int64]

    @classmethod
    def of(cls, scores: Array) -> Choices:
        """Rank scores [N, C], C >= 2."""
        best = best_classes(scores, min(TOP_K, scores.shape[1]))
        return cls(predictions(scores, best), best)


@dataclass(frozen=True, eq=False)
class Summary:
    """Of one output: the RMS of its finite elements, why it is vacuous within the tolerance for its own dtype and
    scale (None: it is not), and what its scores choose (None: no scores). At most 64 bytes a sample.
    """

    rms: float
    vacuous: str | None
    choices: Choices | None


def summarise(name: str, output: Array, tolerances: Tolerances, task: Task | None = None) -> Summary:
    """Summarise [N, ...] of a dtype that can be compared, of one element at least; its tolerance goes by `name`."""
    output = without_trailing_ones(output)
    rms = root_mean_square(output)
    scores = infer_task(output) is Task.CLASSIFICATION and task is not Task.TENSOR
    return Summary(
        rms,
        vacuity(output, tolerances.of(name, output.dtype, output.dtype, rms)),
        Choices.of(output) if scores else None,
    )


def summaries(
    outputs: Mapping[str, Array],
    tolerances: Tolerances,
    tasks: Mapping[str, Task] | None = None,
    names: Mapping[str, str] | None = None,
) -> dict[str, Summary]:
    """Of a cell's outputs, by their own names; those that leave nothing to compare are left out.

    `tasks` by their own names too; `names`: what an output goes by in tolerances, where that is not its own name.
    """
    tasks, names = tasks or {}, names or {}
    return {
        name: summarise(names.get(name, name), output, tolerances, tasks.get(name))
        for name, output in outputs.items()
        if comparable(output.dtype) and output.ndim and output.size
    }
