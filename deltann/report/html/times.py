"""How slow each environment is beside its reference: intervals on one axis of time ratios."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltann.comparison.verdict import Verdict
from deltann.outcome import Status
from deltann.report.timing import machine_sentences
from deltann.timing.verdict import TimeVerdict

if TYPE_CHECKING:
    from deltann.report.contents import Contents
    from deltann.timing.stored import CellTime, PairTime, Timing

TONES = {
    TimeVerdict.REGRESSION: "bad",
    TimeVerdict.IMPROVED: "good",
    TimeVerdict.EQUIVALENT: "good",
    TimeVerdict.INCONCLUSIVE: "warn",
}
MARKS = {
    TimeVerdict.REGRESSION: "▲",
    TimeVerdict.IMPROVED: "▼",
    TimeVerdict.EQUIVALENT: "=",
    TimeVerdict.INCONCLUSIVE: "?",
}
_NICE = (1.0, 0.5, 2.0, 0.1, 10.0, 0.2, 5.0, 0.01, 100.0, 0.8, 1.25, 0.9, 1.1, 1.5, 3.0, 0.05, 20.0, 50.0, 0.02, 1000.0)
"""Ratios to write on the axis, the roundest first."""
APART = 17.0
"""Percent of the axis between two labels."""


@dataclass(frozen=True)
class Strip:
    """Where an interval of the ratio lies, in percent of the axis; `rounds`: the ratio of each round."""

    low: float
    centre: float
    high: float
    rounds: tuple[float, ...]


@dataclass(frozen=True)
class Row:
    """One environment beside its reference; `pair` is None for the reference itself."""

    cell: CellTime
    pair: PairTime | None
    failure: str
    verdict: str
    tone: str
    mark: str
    remark: str
    strip: Strip | None


@dataclass(frozen=True)
class Times:
    """`ticks`: (percent of the axis, label). `one` and `margin`: where equal times and the margin lie on it."""

    timing: Timing
    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]
    one: float
    margin: tuple[float, float]
    references: int
    sentences: tuple[str, ...]


def times(contents: Contents) -> Times | None:
    """None where the run was not timed."""
    timing = contents.timing
    if timing is None:
        return None
    known = [e for pair in timing.pairs if (e := pair.estimate) is not None and e.enough is None and e.low > -1]
    reach = math.log1p(timing.options.margin)
    ends = [math.log1p(value) for e in known for value in (e.low, e.high)]
    ends += [value for e in known for value in e.ratios]
    low, high = min([*ends, -2 * reach]), max([*ends, 2 * reach])
    low, high = low - 0.04 * (high - low), high + 0.04 * (high - low)

    def place(log_ratio: float) -> float:
        return round(100 * (log_ratio - low) / (high - low), 2)

    pairs = {pair.candidate: pair for pair in timing.pairs}
    rows = []
    for cell in timing.cells:
        pair = pairs.get(cell.name)
        strip = None
        if pair is not None and pair.estimate in known and pair.estimate is not None:
            e = pair.estimate
            low_, centre, high_ = (place(math.log1p(value)) for value in (e.low, e.slowdown, e.high))
            strip = Strip(low_, centre, high_, tuple(map(place, e.ratios)))
        rows.append(_row(cell, pair, strip))
    return Times(
        timing,
        tuple(rows),
        tuple(_ticks(place)),
        place(0.0),
        (place(-reach), place(reach)),
        len({pair.reference for pair in timing.pairs}),
        tuple(machine_sentences(timing)),
    )


def _row(cell: CellTime, pair: PairTime | None, strip: Strip | None) -> Row:
    failure = ""
    if cell.outcome.status is not Status.OK:
        failure = " ".join(filter(None, (cell.outcome.status, cell.outcome.symptom)))
    if pair is None:
        return Row(cell, None, failure, "reference", "none", "", "", None)
    remark = ""
    if pair.outputs is Verdict.DIFFER:
        remark = "outputs differ"
    elif pair.verdict is TimeVerdict.IMPROVED and pair.outputs is not Verdict.AGREE:
        remark = "agreement unknown"
    return Row(cell, pair, failure, pair.verdict.value, TONES[pair.verdict], MARKS[pair.verdict], remark, strip)


def _ticks(place: Callable[[float], float]) -> list[tuple[float, str]]:
    """Round ratios on the axis, 1 among them, far enough apart to be read."""
    found: list[tuple[float, str]] = []
    for tick in _NICE:
        at = place(math.log(tick))
        if 5 <= at <= 95 and all(abs(at - other) >= APART for other, _ in found):
            found.append((at, f"{tick:g}×"))
    return sorted(found)
