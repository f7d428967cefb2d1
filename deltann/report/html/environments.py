"""What ran: versions, what each engine really did, what it cost, and the words of those that failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deltann.frames import cell_rows
from deltann.outcome import Status

if TYPE_CHECKING:
    from deltann.result import Result
    from deltann.store import Cell

MOST_DETAIL = 8000


@dataclass(frozen=True)
class Environment:
    """One cell: `row` as of `deltann.frames.cell_rows`, `actual` what its engine told, `judged_as` its precision.

    `detail`: the end of what a cell that failed said.
    """

    row: Mapping[str, Any]
    actual: Mapping[str, str]
    judged_as: str
    detail: str
    failed: bool


def environments(result: Result) -> tuple[Environment, ...]:
    """A row a cell, in the run's order."""
    details = {str(record.cell): record.outcome.detail for record in result.records}
    precisions = {str(cell): precision.value for cell, precision in result.weighed.precisions.items()}
    return tuple(
        Environment(
            row,
            row["actual"],
            precisions.get(row["cell"], ""),
            details[row["cell"]][-MOST_DETAIL:].strip(),
            row["status"] != Status.OK,
        )
        for row in cell_rows(result)
    )


def identical(result: Result) -> list[tuple[tuple[Cell, ...], bool]]:
    """Groups of cells that ran the very same thing, and whether they are of two models."""
    return [(group, len({cell.role for cell in group}) > 1) for group in result.identical]
