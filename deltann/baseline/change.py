"""Whether an entry differs from what was accepted by more than chance, and in which direction.

- A verdict, a status and a count of structural differences are facts: a step away from AGREE is worse, and so is a
  failure where there were outputs or a clean refusal.
- The rate of labels that differ, and that of samples outside the tolerance or not finite (among them each whose label
  flips beyond it), is worse where the interval of its rise lies above 0: Newcombe's for a difference of two proportions
  (Statistics in Medicine 1998, method 10), of the two rates' Wilson intervals. The first that no precision explains
  needs none of that, since it makes the verdict DIFFER; of more, where DIFFER is what was accepted, the rate tells.
- Errors are worse from `FACTOR` times on at the median and the 99th percentile, and from `PEAK_FACTOR` times on at the
  largest, which is one element's. Below a hundredth of the absolute tolerance they are rounding, however they grow.
- A time ratio is worse where the whole interval of its change lies beyond the margin. The two runs are apart, so the
  halves of their intervals add as independent errors do, in logarithms: √(h₁² + h₂²). A verdict that has become
  REGRESSION, which fresh processes confirmed, is worse too, and so is a side that has come to fail while it is timed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from deltann.baseline.entries import Agreement, Failure, Time
from deltann.comparison.statistics import proportion_interval
from deltann.comparison.verdict import Verdict
from deltann.outcome import Status
from deltann.timing.verdict import TimeVerdict

FACTOR = 2.0
PEAK_FACTOR = 4.0
ROUNDING = 0.01
"""Of the absolute tolerance. The default one is 1e-3 of the RMS of a float32 output, and sums in another order leave
1e-5 to 1e-4 of it.
"""
_VERDICTS = (Verdict.AGREE, Verdict.INCONCLUSIVE, Verdict.DIFFER)


class Direction(StrEnum):
    """Where a change leads; OTHER is neither better nor worse."""

    WORSE = "worse"
    BETTER = "better"
    OTHER = "other"


@dataclass(frozen=True)
class Change:
    """`what` was `old` and is `new`, as text; `reason` says by which rule that is more than chance."""

    direction: Direction
    what: str
    old: str
    new: str
    reason: str = ""


def agreement_changes(old: Agreement, new: Agreement, atol: float) -> Iterator[Change]:
    """Of one output of a pair; `atol`: the absolute tolerance that the run judged it by, in the output's unit."""
    if old.verdict is not new.verdict:
        rise = _VERDICTS.index(new.verdict) - _VERDICTS.index(old.verdict)
        # What cannot be told any more is not known to be better.
        unclear = rise < 0 and new.verdict is Verdict.INCONCLUSIVE
        yield Change(Direction.OTHER if unclear else _direction(rise), "verdict", old.verdict, new.verdict)
    if rise := new.problems - old.problems:
        yield Change(_direction(rise), "structural differences", str(old.problems), str(new.problems))
    yield from _rate("labels that differ", old, new, old.disagreements, new.disagreements)
    yield from _rate("samples outside", old, new, old.outside, new.outside)
    for what, before, after, factor in (
        ("|Δ| p50", old.p50, new.p50, FACTOR),
        ("|Δ| p99", old.p99, new.p99, FACTOR),
        ("|Δ| max", old.max, new.max, PEAK_FACTOR),
    ):
        if change := _error(what, before, after, factor, ROUNDING * atol):
            yield change


def time_changes(old: Time, new: Time, margin: float) -> Iterator[Change]:
    """Of a pair's time ratio; `margin`: the slowdown that must not go unnoticed, as a share."""
    yield from _ended("candidate", old.candidate, new.candidate)
    yield from _ended("reference", old.reference, new.reference)
    if new.verdict is TimeVerdict.REGRESSION is not old.verdict:
        reason = "slower than the reference beyond doubt, and confirmed by fresh processes"
        yield Change(Direction.WORSE, "time", old.verdict, new.verdict, reason)
    if old.ratio is None or new.ratio is None:
        if old.ratio != new.ratio:
            worse = new.ratio is None
            reason = "it was measured, and nothing is known of it" if worse else ""
            yield Change(Direction.WORSE if worse else Direction.OTHER, "time ratio", _ratio(old), _ratio(new), reason)
        return
    change, half = time_change(old, new)
    limit = math.log1p(margin)
    if abs(change) - half > limit:
        low, high = (math.expm1(end) for end in (change - half, change + half))
        reason = f"a change of {math.expm1(change):+.1%} [{low:+.1%}, {high:+.1%}], beyond the margin of {margin:.3g}"
        yield Change(_direction(change), "time ratio", _ratio(old), _ratio(new), reason)


def cannot_tell(old: Time, new: Time, margin: float) -> str | None:
    """Why no change found in a time ratio proves nothing; None where one as large as the margin would show."""
    if old.ratio is None or new.ratio is None:
        return None
    _, half = time_change(old, new)
    return None if half <= math.log1p(margin) else f"a change of {math.expm1(half):.0%} could not have been told"


def time_change(old: Time, new: Time) -> tuple[float, float]:
    """log(new ratio / old ratio) and how far its 95 % interval reaches to either side; both ratios are known."""
    assert old.ratio is not None
    assert new.ratio is not None
    halves = [(math.log(high) - math.log(low)) / 2 for _, low, high in (old.ratio, new.ratio)]
    return math.log(new.ratio[0] / old.ratio[0]), math.hypot(*halves)


def failure_changes(old: Failure, new: Failure) -> Iterator[Change]:
    """Of a cell that gave no outputs then, and gives none now: to fail is worse than to decline."""
    if old != new:
        failed, fails = (one.status is Status.FAILED for one in (old, new))
        better = failed and new.status is Status.UNSUPPORTED
        yield Change(_direction(1 if fails and not failed else -better), "status", str(old), str(new))


def _ended(side: str, old: Failure | None, new: Failure | None) -> Iterator[Change]:
    """Of a side of a timed pair; None: it came through."""
    what = f"{side} while timed"
    if old is not None and new is not None:
        yield from (replace(change, what=what) for change in failure_changes(old, new))
    elif old != new:
        before, now = ("came through" if end is None else str(end) for end in (old, new))
        yield Change(Direction.BETTER if new is None else Direction.WORSE, what, before, now)


def _rate(what: str, old: Agreement, new: Agreement, then: int | None, now: int | None) -> Iterator[Change]:
    """Of `then` of the old samples and `now` of the new; None where there is no such count."""
    was, is_ = ("-" if count is None else f"{count} of {of.samples}" for count, of in ((then, old), (now, new)))
    if then is None or now is None:
        if then != now:
            yield Change(Direction.OTHER, what, was, is_)
        return
    before, after = then / old.samples, now / new.samples
    (low, high), (low_now, high_now) = proportion_interval(then, old.samples), proportion_interval(now, new.samples)
    rise = after - before
    least = rise - math.hypot(after - low_now, high - before)
    most = rise + math.hypot(high_now - after, before - low)
    if least > 0 or most < 0:
        reason = f"the rate of {what} changed by {rise:+.2%} [{least:+.2%}, {most:+.2%}], beyond chance"
        yield Change(_direction(rise), what, was, is_, reason)


def _error(what: str, old: float | None, new: float | None, factor: float, rounding: float) -> Change | None:
    if old == new:
        return None
    direction, reason = None, ""
    if new is None:
        direction, reason = Direction.WORSE, "nothing of it was compared"
    elif old is None:
        direction = Direction.OTHER
    elif new > max(factor * old, rounding):
        direction, reason = Direction.WORSE, f"{what} is more than {factor:g} times what it was"
    elif old > max(factor * new, rounding):
        direction = Direction.BETTER
    elif old == 0 and what == "|Δ| max":
        # That two environments give the very same bits is worth knowing, and so is its end.
        direction, reason = Direction.OTHER, "no longer the same bits"
    before, now = ("-" if value is None else f"{value:.2g}" for value in (old, new))
    return None if direction is None else Change(direction, what, before, now, reason)


def _direction(rise: float) -> Direction:
    return Direction.WORSE if rise > 0 else Direction.BETTER if rise < 0 else Direction.OTHER


def _ratio(time: Time) -> str:
    return "not known" if time.ratio is None else "{:.3g} [{:.3g}, {:.3g}]".format(*time.ratio)
