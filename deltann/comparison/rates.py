"""Whether a rate of disagreement is above a limit or within it, or whether these samples are too few to tell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

from deltann.comparison.statistics import proportion_interval

CONFIDENCE = 0.95
MOST = 1e15
"""Nobody has as many samples, and float64 no longer tells their intervals apart."""


class Standing(StrEnum):
    """Where the whole 95 % interval of a rate lies; UNKNOWN: the limit is inside it."""

    ABOVE = "above"
    WITHIN = "within"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Rate:
    """`count` of `samples` beside a limit. `needed`: how many samples it would take in all, if the rate seen held."""

    count: int
    samples: int
    limit: float
    standing: Standing
    interval: tuple[float, float]
    needed: int | None = None


def exceeds_p(count: int, samples: int, limit: float) -> float:
    """The one-sided p-value of "the rate is not above `limit`": the score test, whose dual is Wilson's interval.

    Raises:
        ValueError: no samples.
    """
    if samples < 1:
        raise ValueError("no samples have no rate")
    rate = count / samples
    if limit in (0.0, 1.0):
        return 0.0 if rate > limit else 1.0
    return 1 - NormalDist().cdf((rate - limit) / math.sqrt(limit * (1 - limit) / samples))


def standing(count: int, samples: int, limit: float, adjusted_p: float | None = None) -> Rate:
    """Place the rate by its Wilson interval.

    `adjusted_p`: `exceeds_p` corrected for the number of pairs judged together; where it is above 2.5 %, ABOVE
    becomes UNKNOWN. A limit of 0 asks about these samples alone, since no number of samples proves a rate of 0:
    WITHIN where none disagrees.

    Raises:
        ValueError: no samples, or `count` outside 0..samples.
    """
    low, high = proportion_interval(count, samples, CONFIDENCE)
    if limit == 0:
        return Rate(count, samples, limit, Standing.ABOVE if count else Standing.WITHIN, (low, high))
    place = _place(count, samples, limit)
    if place is Standing.UNKNOWN:
        return Rate(count, samples, limit, place, (low, high), samples_needed(count / samples, limit))
    if place is Standing.ABOVE and adjusted_p is not None and adjusted_p > (1 - CONFIDENCE) / 2:
        place = Standing.UNKNOWN
    return Rate(count, samples, limit, place, (low, high))


def _place(count: int, samples: int, limit: float) -> Standing:
    low, high = proportion_interval(count, samples, CONFIDENCE)
    # A rate above the limit is never within it, nor the other way round, whatever rounding does to the ends.
    if low > limit and count / samples > limit:
        return Standing.ABOVE
    return Standing.WITHIN if high <= limit and count / samples <= limit else Standing.UNKNOWN


def samples_needed(rate: float, limit: float) -> int | None:
    """The fewest samples whose interval excludes `limit`, should as near to `rate` of them disagree as can be.

    The interval's end is the limit where (limit − rate)² · n = z² · limit · (1 − limit); counts being whole, it may
    take a few more (from 1,000 on, to a thousandth). None where the rate is the limit, to a millionth, or where it
    would take more than 10^15.
    """
    if limit in (0.0, 1.0) or math.isclose(rate, limit, rel_tol=1e-6):
        return None
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    root = z * math.sqrt(limit * (1 - limit)) / (limit - rate)
    exact = root * root
    if exact > MOST:
        return None
    needed = max(1, math.ceil(exact))
    while _place(round(rate * needed), needed, limit) is Standing.UNKNOWN:
        needed += max(1, needed // 1000)
    return needed
