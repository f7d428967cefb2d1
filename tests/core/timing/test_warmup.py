from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from deltann.timing.estimate import slowdown
from deltann.timing.series import Series
from deltann.timing.verdict import TimeVerdict, judge_times
from deltann.timing.warmup import warm_up

Simulate = Callable[..., tuple[Series, Series]]


@pytest.mark.parametrize("seed", range(10))
def test_none_is_found_where_there_is_none(seed: int, simulate: Simulate) -> None:
    candidate, reference = simulate(100 + seed)
    for series in (candidate, reference):
        found = warm_up(series)
        assert found is not None
        assert found <= 2


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("rise", "least", "most"), [(0.5, 3, 10), (5.0, 7, 14)])
def test_it_is_found_where_there_is(seed: int, rise: float, least: int, most: int, simulate: Simulate) -> None:
    candidate, reference = simulate(seed, warm_up=(rise, 0.0), slices=30)
    found = warm_up(candidate)
    assert found is not None
    assert least <= found <= most
    assert (warm_up(reference) or 0) <= 2


def test_a_step_is_found_to_the_slice(simulate: Simulate) -> None:
    _, series = simulate(3)
    slow = tuple(np.vstack([seconds[:6] * 1.4, seconds[6:]]) for seconds in series.rounds)
    assert warm_up(replace(series, rounds=slow)) == 6


def test_a_disturbance_of_one_round_is_none(simulate: Simulate) -> None:
    _, series = simulate(3)
    first, *others = series.rounds
    disturbed = replace(series, rounds=(np.vstack([first[:6] * 3, first[6:]]), *others))
    assert warm_up(disturbed) == warm_up(series) == 0


def test_a_warm_up_of_one_side_does_not_move_the_estimate(simulate: Simulate) -> None:
    cold, warm = slowdown(*simulate(4, warm_up=(3.0, 0.0))), slowdown(*simulate(4))
    assert cold.discarded > warm.discarded
    assert cold.blocks == 5 * (24 - cold.discarded)
    assert cold.slowdown == pytest.approx(warm.slowdown, abs=0.015)


@pytest.mark.parametrize("seed", range(5))
def test_times_that_never_become_steady_are_inconclusive(seed: int, simulate: Simulate) -> None:
    candidate, reference = simulate(seed, slowdown=-0.5)
    falling = np.linspace(3, 1, 24)[:, None]
    cold = replace(candidate, rounds=tuple(seconds * falling for seconds in candidate.rounds))
    assert warm_up(cold) is None
    for estimate in (slowdown(cold, reference), slowdown(reference, cold)):
        judgement = judge_times({("a", "b"): estimate})[("a", "b")]
        assert judgement.verdict is TimeVerdict.INCONCLUSIVE
        assert judgement.reasons == ("new: all runs are warm-up, it still grows faster when a round ends",)
