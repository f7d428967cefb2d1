"""Slower, faster, the same or unknown: the rule, and its error rates.

Every estimate is an interval: the slowdowns that the measured times leave possible. The *margin* (5 % unless told) is
the slowdown that must not go unnoticed. Then

- EQUIVALENT: the whole interval lies within ±margin. Whatever difference there is, it is smaller than what matters.
- REGRESSION: slower beyond doubt (the interval lies above 0), a slowdown of the margin or more is possible (its upper
  end reaches the margin), the best guess is more than half the margin, *and* a second measurement in fresh processes,
  made after the first and apart from it, says the same.
- IMPROVED: the same with the two environments changed for each other.
- INCONCLUSIVE: all else. Most often the interval is too wide, and more rounds make it narrower.

Why not "the best guess is above the margin": a slowdown of exactly the margin would be found half the time, as a coin
would; and "the interval lies above the margin" would never find it. Why a second measurement: with 5 rounds, up to
two simulated comparisons in a hundred of an environment with itself look slower by chance; that this happens twice
running is a matter of one in thousands. It need only say so at 95 % on one side, since what it is asked is one question
and its direction is fixed. Where many pairs are judged, some would look different by chance alone, so the p-values are
adjusted for their number (Benjamini and Hochberg 1995): of the pairs flagged at 5 %, at most 5 % are expected to be
flagged wrongly.

Simulated rates (`benchmarks/simulated_times.py`, 500 experiments on each of seven machines: processes that differ by
0.5 to 3 % for life, log-normal runs, drift, two clock rates, bursts of a neighbour up to ×4, stolen processor time; 5
to 12 rounds, stopped by `precise_enough`): REGRESSION of the same against itself once in 3,500; of a slowdown of 10 %
99 to 100 %; of 5 % 84 to 95 %, and 69 % where all of that comes together. With 5 rounds alone and processes that differ
by 3 %, 5 % is found 31 % of the time and 10 % 93 %: what helps is rounds. How a real machine does, `--calibrate`
measures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from deltann.comparison.significance import benjamini_hochberg
from deltann.errors import UsageError
from deltann.timing.estimate import Estimate

Pair = tuple[str, str]
"""(candidate, reference), as specs."""

MARGIN = 0.05
CONFIRMING_P = 0.10
"""Two-sided, so 5 % on the one side that is asked for."""


class TimeVerdict(StrEnum):
    """What the times of a pair say of the candidate."""

    REGRESSION = "REGRESSION"
    IMPROVED = "IMPROVED"
    EQUIVALENT = "EQUIVALENT"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True)
class TimeJudgement:
    """The verdict with one-line reasons, and the estimates it rests on.

    `adjusted`: the p-value of the first estimate after Benjamini–Hochberg; None where the data allow none.
    """

    verdict: TimeVerdict
    reasons: tuple[str, ...]
    estimate: Estimate
    confirmation: Estimate | None = None
    adjusted: float | None = None


def judge_times(
    estimates: Mapping[Pair, Estimate],
    margin: float = MARGIN,
    detectable: float | None = None,
    confirmations: Mapping[Pair, Estimate] | None = None,
) -> dict[Pair, TimeJudgement]:
    """Judge every pair of a run by the rule above.

    `detectable`: the smallest slowdown that this host can detect (`Calibration.detectable`), None if unknown; a margin
    below it makes every verdict INCONCLUSIVE. `confirmations`: second estimates of the pairs that `to_confirm` names,
    of rounds measured after those of `estimates` and apart from them.

    Raises:
        UsageError: `margin` is not a share above 0.
    """
    check_margin(margin)
    adjusted = _adjusted(estimates)
    judgements = {}
    for pair, estimate in estimates.items():
        confirmation = (confirmations or {}).get(pair)
        q = adjusted.get(pair)
        verdict, reason = _judge(estimate, q, margin, detectable, confirmation)
        judgements[pair] = TimeJudgement(verdict, (reason,), estimate, confirmation, q)
    return judgements


def to_confirm(estimates: Mapping[Pair, Estimate], margin: float = MARGIN) -> tuple[Pair, ...]:
    """The pairs that look like REGRESSION or IMPROVED, and need a second estimate from fresh processes to be so."""
    check_margin(margin)
    adjusted = _adjusted(estimates)
    return tuple(
        pair for pair, q in adjusted.items() if _direction(estimates[pair], margin, q, 1 - estimates[pair].confidence)
    )


def precise_enough(estimate: Estimate, margin: float = MARGIN) -> bool:
    """The stop rule: the interval reaches at most half the margin to either side of the estimate.

    It reads how wide the interval is, never where it lies: to stop as soon as a difference is significant would call
    chance differences real far more often than the interval says.
    """
    if estimate.enough is not None or not _finite(estimate):
        return False
    return math.log1p(estimate.high) - math.log1p(estimate.low) <= math.log1p(margin)


def looks_different(significant: Any, centre: Any, far: Any, margin: float) -> Any:
    """The rule for one estimate, on numbers or arrays: `centre` and the `far` end of its interval are |log(ratio)|."""
    limit = math.log1p(margin)
    return significant & (centre > limit / 2) & (far >= limit)


def check_margin(margin: float) -> None:
    """Raises UsageError where `margin` is not a share above 0 and up to 1."""
    if not 0 < margin <= 1:
        raise UsageError(f"a margin of {margin:g} is none: give a share above 0 and up to 1, such as 5% or 0.05")


def _judge(
    estimate: Estimate, adjusted: float | None, margin: float, detectable: float | None, confirmation: Estimate | None
) -> tuple[TimeVerdict, str]:
    unknown = TimeVerdict.INCONCLUSIVE
    if estimate.enough is not None:
        return unknown, estimate.enough
    if adjusted is None:
        return unknown, "the estimate is no number"
    told, alpha = _told(estimate), 1 - estimate.confidence
    if detectable is not None and not margin >= detectable:
        return unknown, f"{told}; {_undetectable(margin, detectable)}"
    direction = _direction(estimate, margin, adjusted, alpha)
    if direction:
        if confirmation is None:
            return unknown, f"looks {told}; not confirmed by fresh processes"
        if confirmation.enough is not None or not _finite(confirmation):
            return unknown, f"looks {told}; not confirmed: {confirmation.enough or 'the second estimate is no number'}"
        if _direction(confirmation, margin, confirmation.p_value, CONFIRMING_P) != direction:
            return unknown, f"looks {told}; not confirmed, fresh processes say {_told(confirmation)}"
        verdict = TimeVerdict.REGRESSION if direction > 0 else TimeVerdict.IMPROVED
        return verdict, f"{told}; fresh processes say so too: {_told(confirmation)}"
    if -math.log1p(margin) < math.log1p(estimate.low) and math.log1p(estimate.high) < math.log1p(margin):
        return TimeVerdict.EQUIVALENT, f"{told}, within ±{_percent(margin)}"
    if _direction(estimate, margin, estimate.p_value, alpha):
        return unknown, f"{told}: beyond doubt if asked alone, not among this many pairs (adjusted p {adjusted:.2g})"
    return (
        unknown,
        f"{told}: neither surely within ±{_percent(margin)} nor surely different; more rounds would narrow it",
    )


def _direction(estimate: Estimate, margin: float, p_value: float, alpha: float) -> int:
    """1 if this one estimate looks slower, −1 if faster, else 0."""
    if estimate.enough is not None or not _finite(estimate):
        return 0
    low, centre, high = (math.log1p(value) for value in (estimate.low, estimate.slowdown, estimate.high))
    sign = 1 if centre > 0 else -1
    return sign if looks_different(p_value <= alpha, abs(centre), high if sign > 0 else -low, margin) else 0


def _adjusted(estimates: Mapping[Pair, Estimate]) -> dict[Pair, float]:
    usable = {pair: e.p_value for pair, e in estimates.items() if e.enough is None and _finite(e)}
    return dict(zip(usable, benjamini_hochberg(list(usable.values())), strict=True)) if usable else {}


def _finite(estimate: Estimate) -> bool:
    values = (estimate.slowdown, estimate.low, estimate.high, estimate.p_value)
    return all(math.isfinite(value) for value in values) and estimate.low > -1


def _undetectable(margin: float, detectable: float) -> str:
    can = f"no slowdown under {_percent(detectable)}" if math.isfinite(detectable) else "no slowdown at all"
    return f"but this host detects {can}, so a margin of {_percent(margin)} decides nothing here"


def _told(estimate: Estimate) -> str:
    word = "slower" if estimate.slowdown > 0 else "faster"
    # Of the time it takes, so −10 % is "10 % faster" by the formula time_candidate / time_reference − 1.
    interval = f"[{_signed(estimate.low)}, {_signed(estimate.high)}]"
    return f"{abs(estimate.slowdown):.1%} {word} {interval}".replace("%", " %")


def _signed(value: float) -> str:
    return f"{value:+.1%}"


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"
