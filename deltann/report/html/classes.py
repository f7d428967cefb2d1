"""The per-class breakdown as tables: which classes go wrong, and in whose hands."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltann.report.classes import Basis, ClassRow, per_class
from deltann.report.html.words import shown

if TYPE_CHECKING:
    from deltann.result import Result

MOST_ROWS = 200
LEVELS = 8


@dataclass(frozen=True)
class Table:
    """Of one output. `rows`: (class, its name, the row, by cell (count, shade 0 to 8))."""

    output: str
    says: str
    what: str
    cells: tuple[str, ...]
    rows: tuple[tuple[int, str, ClassRow, tuple[tuple[int, int], ...]], ...]
    left_out: int


def classes(result: Result) -> tuple[Table, ...]:
    """A table an output at which any class goes wrong."""
    by_output: dict[str, list[ClassRow]] = {}
    for row in per_class(result):
        by_output.setdefault(row.output, []).append(row)
    return tuple(_table(result, output, rows) for output, rows in by_output.items())


def _table(result: Result, output: str, rows: list[ClassRow]) -> Table:
    first = rows[0]
    cells = tuple(first.counts)
    says = {
        Basis.LABELS: "by its true class",
        Basis.REFERENCE: f"by the class that {shown(first.by, 80)} gives it",
        Basis.MAJORITY: "by the class that most environments give it",
    }[first.basis]
    what = "gets wrong" if first.basis is Basis.LABELS else "gives another class"
    made = tuple(
        (
            row.label,
            shown(result.class_name(row.label, output) or "", 60),
            row,
            tuple((row.counts[cell], math.ceil(LEVELS * row.counts[cell] / max(1, row.samples))) for cell in cells),
        )
        for row in rows[:MOST_ROWS]
    )
    return Table(output, says, what, cells, made, max(0, len(rows) - MOST_ROWS))
