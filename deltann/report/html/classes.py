"""The per-class breakdown as tables: which classes go wrong, and in whose hands."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltann.report.classes import Basis, ClassRow, per_class
from deltann.report.words import shown

if TYPE_CHECKING:
    from deltann.result import Result

MOST_ROWS = 200
LEVELS = 8


@dataclass(frozen=True)
class Row:
    """A class with its name; `counts`: by cell how many of its samples go wrong, and a shade of 0 to 8."""

    label: int
    name: str
    samples: int
    counts: tuple[tuple[int, int], ...]

    @property
    def spread(self) -> int:
        """By how many samples the cells differ."""
        counts = [count for count, _ in self.counts]
        return max(counts) - min(counts)


@dataclass(frozen=True)
class Table:
    """Of one output. `rows`: classes in which cells differ, most first; `alike`: those that all get wrong alike."""

    output: str
    says: str
    what: str
    several: str
    cells: tuple[str, ...]
    rows: tuple[Row, ...]
    alike: tuple[Row, ...]
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
    what, several = (
        ("gets wrong", "get wrong") if first.basis is Basis.LABELS else ("gives another class", "give another class")
    )
    made = [
        Row(
            row.label,
            shown(result.class_name(row.label, output) or "", 60),
            row.samples,
            tuple((row.counts[cell], math.ceil(LEVELS * row.counts[cell] / max(1, row.samples))) for cell in cells),
        )
        for row in rows
    ]
    uneven = sorted((row for row in made if row.spread), key=lambda row: -row.spread)
    alike = [row for row in made if not row.spread]
    left_out = max(0, len(uneven) - MOST_ROWS) + max(0, len(alike) - MOST_ROWS)
    return Table(output, says, what, several, cells, tuple(uneven[:MOST_ROWS]), tuple(alike[:MOST_ROWS]), left_out)
