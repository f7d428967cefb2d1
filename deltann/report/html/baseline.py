"""The drift from a baseline, as the page shows it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltann.baseline.drift import Standing

if TYPE_CHECKING:
    from deltann.baseline.drift import Drift, Row

MOST_ROWS = 1000
TONES = {
    Standing.WORSE: "bad",
    Standing.NEW: "warn",
    Standing.CHANGED: "warn",
    Standing.BETTER: "good",
    Standing.SAME: "none",
}
MARKS = {Standing.WORSE: "▲", Standing.NEW: "+", Standing.CHANGED: "~", Standing.BETTER: "▼", Standing.SAME: "="}


@dataclass(frozen=True)
class Baseline:
    """`standings`: how many entries stand how. `rows`: (row, mark, tone)."""

    drift: Drift
    standings: tuple[tuple[Standing, int], ...]
    rows: tuple[tuple[Row, str, str], ...]
    left_out: int


def baseline(drift: Drift) -> Baseline:
    """The drift's rows in its own order, WORSE first."""
    found = Counter(row.standing for row in drift.rows)
    return Baseline(
        drift,
        tuple((standing, found[standing]) for standing in Standing if found[standing]),
        tuple((row, MARKS[row.standing], TONES[row.standing]) for row in drift.rows[:MOST_ROWS]),
        max(0, len(drift.rows) - MOST_ROWS),
    )
