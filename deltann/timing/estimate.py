"""How much slower one environment is than another, with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deltann.errors import UsageError
from deltann.timing.series import Seconds, Series, unfit
from deltann.timing.student import critical, two_sided
from deltann.timing.warmup import warm_up

TAIL_RUNS = 10
"""A percentile must have this many runs beyond it, or it is the word of a few stray runs."""


@dataclass(frozen=True)
class Estimate:
    """`slowdown = time_candidate / time_reference − 1`, with the interval [low, high] at `confidence`.

    `p_value`: two-sided, of no difference at all. `rounds`, `blocks`: of how many rounds and of how many blocks of
    slices in them all it is made; `discarded`: slices of each round dropped as warm-up. `ratios`: log of the time
    ratio in each round. `enough`: None, or why these data allow no judgement (then the numbers are NaN).
    """

    slowdown: float
    low: float
    high: float
    p_value: float
    rounds: int
    blocks: int
    discarded: int
    enough: str | None = None
    percentile: float = 50.0
    confidence: float = 0.95
    ratios: tuple[float, ...] = ()


def runs_needed(percentile: float) -> int:
    """How many runs each environment needs in each round after warm-up: 1 for the median, 100 at p90, 1,000 at p99.

    Raises:
        UsageError: `percentile` is not above 0 and below 100.
    """
    if not 0 < percentile < 100:
        raise UsageError(f"there is no percentile {percentile:g}: give one above 0 and below 100, such as 50 or 90")
    if percentile == 50:
        return 1
    return math.ceil(round(TAIL_RUNS / (min(percentile, 100 - percentile) / 100), 6))


def slowdown(candidate: Series, reference: Series, percentile: float = 50.0, confidence: float = 0.95) -> Estimate:
    """Estimate the slowdown of `candidate` against `reference`.

    1. Slices in the warm-up of either environment are dropped (`deltann.timing.warmup`).
    2. A *block* is the fewest consecutive slices that hold `runs_needed(percentile)` runs of each environment: for
       the median, one slice. Its value is log(percentile of the candidate's runs / percentile of the reference's),
       both measured within moments of each other, so that what slows the whole machine drops out.
    3. The value of a round is the median of its blocks: disturbances of under half of a round do not move it.
    4. The estimate is the mean over the rounds, and the interval is Student's with (rounds − 1) degrees of freedom.

    Why not a bootstrap: processes differ by 1 to 3 % for as long as they live, so the rounds are what varies, and
    there are few of them. In simulation (`benchmarks/simulated_times.py`) a hierarchical percentile bootstrap (rounds,
    then blocks in them) said to cover 95 % covers 87 to 90 % with 5 rounds and 92 to 93 % with 10, where processes are
    what differs most, and 96 to 99 % where slices are. Student's covers 93 to 97 % on either with a fixed number of
    rounds, and 91 to 96 % where `precise_enough` ends measuring.

    Raises:
        UsageError: `percentile` is not above 0 and below 100, or `confidence` not above 0 and below 1.
    """
    needed = runs_needed(percentile)
    if not 0 < confidence < 1:
        raise UsageError(f"a confidence of {confidence:g} is none: give one above 0 and below 1, such as 0.95")

    def none(reason: str, discarded: int = 0) -> Estimate:
        nan = math.nan
        rounds = min(len(candidate.rounds), len(reference.rounds))
        return Estimate(nan, nan, nan, nan, rounds, 0, discarded, reason, percentile, confidence)

    reason = unfit(candidate, reference)
    if reason is not None:
        return none(reason)
    discarded = 0
    for series in (candidate, reference):
        dropped = warm_up(series)
        if dropped is None:
            return none(f"{series.environment}: all runs are warm-up, it still grows faster when a round ends")
        discarded = max(discarded, dropped)
    rounds = [(a[discarded:], b[discarded:]) for a, b in zip(candidate.rounds, reference.rounds, strict=True)]
    fewest = min(seconds.size for pair in rounds for seconds in pair)
    if fewest < needed:
        return none(
            f"not enough samples: p{percentile:g} takes {needed:,} runs in each round "
            f"({TAIL_RUNS} beyond the percentile), there are {fewest:,}",
            discarded,
        )
    values = [_block_ratios(a, b, percentile, needed) for a, b in rounds]
    ratios = tuple(float(np.median(value)) for value in values)
    centre, reach, p_value = mean_interval(ratios, confidence)
    return Estimate(
        slowdown=math.expm1(centre),
        low=math.expm1(centre - reach),
        high=math.expm1(centre + reach),
        p_value=p_value,
        rounds=len(ratios),
        blocks=sum(value.size for value in values),
        discarded=discarded,
        percentile=percentile,
        confidence=confidence,
        ratios=ratios,
    )


def mean_interval(values: Sequence[float], confidence: float) -> tuple[float, float, float]:
    """The mean of at least two values, how far its interval reaches to either side, and the p-value of a mean of 0."""
    freedom = len(values) - 1
    centre = float(np.mean(values))
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    if error == 0:
        return centre, 0.0, 1.0 if centre == 0 else 0.0
    return centre, critical(confidence, freedom) * error, two_sided(centre / error, freedom)


def _block_ratios(candidate: Seconds, reference: Seconds, percentile: float, needed: int) -> npt.NDArray[np.float64]:
    slices = math.ceil(needed / min(candidate.shape[1], reference.shape[1]))
    if slices == 1:
        parts = [np.percentile(seconds, percentile, axis=1) for seconds in (candidate, reference)]
        return np.asarray(np.log(parts[0] / parts[1]))
    # The rest that fills no block goes to the last one.
    starts = [index * slices for index in range(max(1, len(candidate) // slices))]
    blocks = list(zip(starts, [*starts[1:], len(candidate)], strict=True))
    ours, theirs = (
        [np.percentile(seconds[start:stop], percentile) for start, stop in blocks] for seconds in (candidate, reference)
    )
    return np.log(ours) - np.log(theirs)
