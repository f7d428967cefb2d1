"""The numbers of every pair, worst first: what its labels do, how far its elements are apart, and why the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltann.comparison.verdict import Verdict

if TYPE_CHECKING:
    from deltann.comparison.output import OutputComparison
    from deltann.judging import McNemar, Pair
    from deltann.result import Result

MOST_ROWS = 1000
_ORDER = (Verdict.DIFFER, Verdict.INCONCLUSIVE, Verdict.NOT_COMPARED, Verdict.AGREE)


@dataclass(frozen=True)
class Row:
    """One output of one pair; `output` is None where they have none in common. `number` is the pair's position.

    `first`: of the rows of this pair, which share its anchor and its reasons.
    """

    number: int
    pair: Pair
    output: OutputComparison | None
    first: bool

    @property
    def mcnemar(self) -> McNemar | None:
        """Where labels are known."""
        return self.pair.mcnemar.get(self.output.name) if self.output else None

    @property
    def angle(self) -> float | None:
        """1 − cosine, which rounding must not make negative."""
        numeric = self.output.numeric if self.output else None
        return None if numeric is None or numeric.cosine is None else max(0.0, 1 - numeric.cosine)


@dataclass(frozen=True)
class Pairs:
    """`several`: whether there is more than one output; `classified`: whether any is scores; `labelled`: McNemar's."""

    rows: tuple[Row, ...]
    left_out: int
    several: bool
    classified: bool
    labelled: bool
    verdicts: tuple[Verdict, ...]

    @property
    def anchors(self) -> frozenset[int]:
        """The pairs that have a row to be led to."""
        return frozenset(row.number for row in self.rows if row.first)


def pairs(result: Result) -> Pairs:
    """A row a pair and output, worst first."""
    rows = []
    for number, pair in enumerate(result.compared):
        outputs = sorted(pair.comparison.outputs if pair.comparison else (), key=_badness, reverse=True)
        rows += [Row(number, pair, output, not place) for place, output in enumerate(outputs or [None])]
    rows.sort(key=lambda row: (not row.pair.judged, _ORDER.index(row.pair.judgement.verdict)))
    by_pair = {row.number: _badness(row.output) for row in rows if row.first}
    rows.sort(
        key=lambda row: (
            not row.pair.judged,
            _ORDER.index(row.pair.judgement.verdict),
            [-value for value in by_pair[row.number]],
            row.number,
        )
    )
    shown = rows[:MOST_ROWS]
    return Pairs(
        tuple(shown),
        len(rows) - len(shown),
        len({row.output.name for row in rows if row.output}) > 1,
        any(row.output and row.output.classification for row in rows),
        any(row.mcnemar for row in rows),
        tuple(verdict for verdict in _ORDER if any(row.pair.judgement.verdict is verdict for row in shown)),
    )


def _badness(output: OutputComparison | None) -> tuple[float, float, float]:
    if output is None:
        return 0.0, 0.0, 0.0
    numeric, found = output.numeric, output.classification
    one_side, rms = (numeric.nonfinite_one_side, numeric.rms or 0.0) if numeric else (0, 0.0)
    return float(one_side), found.rate if found else 0.0, rms
