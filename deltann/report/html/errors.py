"""How the errors of samples lie, of every pair and output, and the per-class breakdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltann.distributions import distributions
from deltann.report.html.figures import error_strips

if TYPE_CHECKING:
    from deltann.distributions import PairDistribution
    from deltann.result import Result

MOST_STRIPS = 28
MOST_ROWS = 1000
MOST_OUTPUTS = 12


@dataclass(frozen=True)
class OutputErrors:
    """Of one output: its pairs, largest median first, and the drawing of the first of them.

    `undrawn`: how many more have errors to be drawn.
    """

    output: str
    rows: tuple[PairDistribution, ...]
    figure: str
    undrawn: int
    left_out: int


def errors(result: Result, letters: dict[str, str]) -> tuple[OutputErrors, ...]:
    """An entry an output that has numbers."""
    by_output: dict[str, list[PairDistribution]] = {}
    for found in distributions(result):
        by_output.setdefault(found.output, []).append(found)
    most = max(1, MOST_ROWS // max(1, len(by_output)))
    return tuple(_of(output, rows, letters, most, place) for place, (output, rows) in enumerate(by_output.items()))


def _of(output: str, rows: list[PairDistribution], letters: dict[str, str], most: int, place: int) -> OutputErrors:
    rows = sorted(rows, key=lambda row: (-row.distribution.p50, -row.distribution.max))
    apart = [row for row in rows if any(row.distribution.counts)]
    drawn = apart[:MOST_STRIPS] if place < MOST_OUTPUTS else []
    strips = [(f"{letters[row.candidate]}:{letters[row.reference]}", row.distribution) for row in drawn]
    figure = error_strips(strips, f"Errors of the samples of {len(strips)} pairs", f"errors-{place}") if strips else ""
    return OutputErrors(output, tuple(rows[:most]), figure, len(apart) - len(drawn), max(0, len(rows) - most))
