"""The scores of a run: what each cell gives at outputs that are classifications."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltann.comparison.rows import Array, without_trailing_ones
from deltann.criteria import parse_tasks
from deltann.frames import expected_classes
from deltann.outcome import Status
from deltann.store import Cell
from deltann.tasks import Task

if TYPE_CHECKING:
    from deltann.result import Result


def scores(result: Result) -> dict[str, dict[Cell, Array]]:
    """By output (its common name) and cell, in the run's order: scores [N, C], memory-mapped, a row a sample."""
    run, tasks = result.run, parse_tasks(result.criteria.tasks)
    found: dict[str, dict[Cell, Array]] = {}
    for record in result.records:
        outputs = run.outputs(record.cell) if record.outcome.status is Status.OK else {}
        for own, array in outputs.items():
            name = run.common_name(record.cell.role, own)
            if tasks.of(name, array) is Task.CLASSIFICATION and len(array) == len(run.sample_names):
                found.setdefault(name, {})[record.cell] = without_trailing_ones(array)
    return found


def true_classes(result: Result) -> dict[str, list[int | None]]:
    """By output (its common name) that the labels fit, the class of each sample, None where unknown; {} without labels.

    Those are the outputs that have an accuracy: features and boxes have scores of other classes, or of none.
    """
    known = expected_classes(result.run)
    fits = {
        result.run.common_name(record.cell.role, own)
        for record in result.records
        for own in result.accuracies.get(str(record.cell), {})
    }
    return {} if known is None else {name: list(known) for name in fits}
