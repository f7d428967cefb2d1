"""Whether a rate of disagreement is above a limit or within it, or whether these samples are too few to tell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

from deltann.comparison.statistics import proportion_interval

CONFIDENCE = 0.95


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
    # A rate above the limit is never within it, whatever rounding does to the interval's ends.
    if low > limit and count / samples > limit:
        chance = adjusted_p is not None and adjusted_p > (1 - CONFIDENCE) / 2
        return Rate(count, samples, limit, Standing.UNKNOWN if chance else Standing.ABOVE, (low, high))
    if high <= limit:
        return Rate(count, samples, limit, Standing.WITHIN, (low, high))
    return Rate(count, samples, limit, Standing.UNKNOWN, (low, high), samples_needed(count / samples, limit))


def samples_needed(rate: float, limit: float) -> int | None:
    """The fewest samples whose interval excludes `limit`, should they show `rate` too; None where none does.

    The interval's end is the limit where (limit − rate)² · n = z² · limit · (1 − limit).
    """
    if rate == limit or limit in (0.0, 1.0):
        return None
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    return math.ceil(z * z * limit * (1 - limit) / (limit - rate) ** 2 * (1 + 1e-9))
