from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltann.errors import UsageError
from deltann.timing.estimate import mean_interval, runs_needed, slowdown
from deltann.timing.series import Series

Simulate = Callable[..., tuple[Series, Series]]


@pytest.mark.parametrize("true", [-0.3, 0.0, 0.05, 0.5, 30.0])
def test_it_finds_the_slowdown(true: float, simulate: Simulate) -> None:
    estimate = slowdown(*simulate(7, slowdown=true, rounds=12))
    assert estimate.enough is None
    assert estimate.low < true < estimate.high
    assert estimate.slowdown == pytest.approx(true, abs=0.03 * (1 + true))
    assert (estimate.p_value < 0.01) == (true != 0)
    assert estimate.rounds == len(estimate.ratios) == 12


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), true=st.floats(-0.5, 1.0))
def test_to_change_sides_turns_the_answer_round(simulate: Simulate, seed: int, true: float) -> None:
    there, back = slowdown(*simulate(seed, slowdown=true)), slowdown(*reversed(simulate(seed, slowdown=true)))
    if there.enough is not None:
        assert back.enough == there.enough
        return
    assert 1 + there.slowdown == pytest.approx(1 / (1 + back.slowdown))
    assert (1 + there.low, 1 + there.high) == pytest.approx((1 / (1 + back.high), 1 / (1 + back.low)))
    assert there.p_value == pytest.approx(back.p_value)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), unit=st.floats(0.01, 100))
def test_the_unit_of_time_does_not_matter(simulate: Simulate, seed: int, unit: float) -> None:
    candidate, reference = simulate(seed)
    scaled = [replace(s, rounds=tuple(seconds * unit for seconds in s.rounds)) for s in (candidate, reference)]
    one, other = slowdown(candidate, reference), slowdown(*scaled)
    assert one.ratios == pytest.approx(other.ratios, abs=1e-9)


def test_what_hits_both_drops_out(simulate: Simulate) -> None:
    candidate, reference = simulate(16)
    rng = np.random.default_rng(0)
    storms = [np.exp(rng.normal(0, 1, (24, 1))) for _ in range(5)]
    hit = [
        replace(series, rounds=tuple(seconds * storm for seconds, storm in zip(series.rounds, storms, strict=True)))
        for series in (candidate, reference)
    ]
    assert slowdown(*hit).ratios == pytest.approx(slowdown(candidate, reference).ratios, abs=5e-3)


def test_the_interval_is_of_rounds_not_of_runs(simulate: Simulate) -> None:
    few = slowdown(*simulate(9, runs=4))
    many = slowdown(*simulate(9, runs=400))
    assert many.high - many.low > 0.3 * (few.high - few.low), "a hundred times the runs of the same processes"


def test_a_wider_confidence_is_a_wider_interval(simulate: Simulate) -> None:
    data = simulate(10)
    assert slowdown(*data, confidence=0.99).high > slowdown(*data).high > slowdown(*data, confidence=0.9).high


def test_the_interval_of_a_mean_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(5).normal(0.1, 1, 7)
    centre, reach, p_value = mean_interval(list(values), 0.95)
    test = stats.ttest_1samp(values, 0)
    interval = test.confidence_interval(0.95)
    assert (centre - reach, centre + reach) == pytest.approx((interval.low, interval.high))
    assert p_value == pytest.approx(test.pvalue)
    assert mean_interval([0.0] * 5, 0.95) == (0.0, 0.0, 1.0)
    assert mean_interval([0.1] * 5, 0.95)[1:] == pytest.approx((0.0, 0.0), abs=1e-12)


@pytest.mark.parametrize(("percentile", "runs"), [(50, 1), (75, 40), (90, 100), (95, 200), (99, 1000), (10, 100)])
def test_runs_that_a_percentile_needs(percentile: float, runs: int) -> None:
    assert runs_needed(percentile) == runs


@pytest.mark.parametrize(("slices", "runs", "enough"), [(10, 10, True), (9, 11, False), (24, 4, False), (30, 6, True)])
def test_p90_needs_a_hundred_runs_a_round(slices: int, runs: int, enough: bool, simulate: Simulate) -> None:
    estimate = slowdown(*simulate(13, slices=slices, runs=runs), percentile=90)
    assert estimate.discarded == 0
    assert (estimate.enough is None) == enough
    if not enough:
        reason = "not enough samples: p90 takes 100 runs in each round (10 beyond the percentile), there are "
        assert estimate.enough == f"{reason}{slices * runs}"
        assert math.isnan(estimate.slowdown)
    assert slowdown(*simulate(13, slices=slices, runs=runs)).enough is None, "the median has enough"


def test_p99_sees_the_tail_that_the_median_does_not(simulate: Simulate) -> None:
    candidate, reference = simulate(12, slices=60, runs=40)
    rng = np.random.default_rng(0)
    tail = tuple(seconds * np.where(rng.random(seconds.shape) < 0.03, 4.0, 1.0) for seconds in candidate.rounds)
    slow = replace(candidate, rounds=tail)
    assert slowdown(slow, reference).slowdown < 0.03
    assert slowdown(slow, reference, percentile=99).low > 0.2
    assert abs(slowdown(candidate, reference, percentile=99).slowdown) < 0.2


def test_blocks_of_a_percentile_are_of_consecutive_slices(simulate: Simulate) -> None:
    estimate = slowdown(*simulate(12, slices=60, runs=12), percentile=90)
    assert estimate.discarded == 0
    assert estimate.blocks == 5 * (60 // 9), "9 slices of 12 runs hold 100"


@pytest.mark.parametrize("percentile", [0, 100, -1, math.nan])
def test_an_impossible_percentile_is_refused(percentile: float, simulate: Simulate) -> None:
    with pytest.raises(UsageError, match="give one above 0 and below 100"):
        slowdown(*simulate(1), percentile=percentile)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_an_impossible_confidence_is_refused(confidence: float, simulate: Simulate) -> None:
    with pytest.raises(UsageError, match=r"such as 0\.95"):
        slowdown(*simulate(1), confidence=confidence)
