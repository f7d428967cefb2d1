"""How often the rule is wrong, on simulated machines. Seeded: the counts are the same each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from deltann.timing.estimate import Estimate, slowdown
from deltann.timing.series import Series
from deltann.timing.verdict import TimeVerdict, judge_times, precise_enough, to_confirm

Simulate = Callable[..., tuple[Series, Series]]
PAIR = ("new", "old")
EXPERIMENTS = 40
ROUNDS = (5, 8, 12)


@pytest.fixture(params=["plain", "unlucky processes", "busy neighbour", "all at once"])
def machine(request: pytest.FixtureRequest, machines: Mapping[str, Any]) -> Any:
    return machines[request.param]


def _measure(simulate: Simulate, seed: int, machine: Any, true: float) -> Estimate:
    """As a bench does: at least 5 rounds, then more until the interval is narrow or the budget is spent."""
    new, old = simulate(seed, machine, true, rounds=ROUNDS[-1])
    for rounds in ROUNDS:
        estimate = slowdown(Series("new", new.rounds[:rounds]), Series("old", old.rounds[:rounds]))
        if precise_enough(estimate):
            break
    return estimate


def _verdicts(simulate: Simulate, machine: Any, true: float) -> Counter[TimeVerdict]:
    verdicts: Counter[TimeVerdict] = Counter()
    for seed in range(EXPERIMENTS):
        first = {PAIR: _measure(simulate, 2 * seed, machine, true)}
        second = {pair: _measure(simulate, 2 * seed + 1, machine, true) for pair in to_confirm(first)}
        verdicts[judge_times(first, confirmations=second)[PAIR].verdict] += 1
    return verdicts


def test_the_same_against_itself(machine: Any, simulate: Simulate) -> None:
    verdicts = _verdicts(simulate, machine, 0.0)
    assert verdicts[TimeVerdict.REGRESSION] == verdicts[TimeVerdict.IMPROVED] == 0
    assert verdicts[TimeVerdict.EQUIVALENT] >= 0.4 * EXPERIMENTS


def test_ten_percent_is_found(machine: Any, simulate: Simulate) -> None:
    verdicts = _verdicts(simulate, machine, 0.10)
    assert verdicts[TimeVerdict.REGRESSION] >= 0.95 * EXPERIMENTS
    assert not verdicts[TimeVerdict.EQUIVALENT] + verdicts[TimeVerdict.IMPROVED]


def test_five_percent_is_found(machine: Any, simulate: Simulate) -> None:
    verdicts = _verdicts(simulate, machine, 0.05)
    assert verdicts[TimeVerdict.REGRESSION] >= 0.6 * EXPERIMENTS
    assert verdicts[TimeVerdict.EQUIVALENT] <= 0.08 * EXPERIMENTS
    assert not verdicts[TimeVerdict.IMPROVED]


@pytest.mark.parametrize("rounds", [5, 10])
def test_the_interval_covers(rounds: int, machine: Any, simulate: Simulate) -> None:
    covered = usable = 0
    for seed in range(100):
        estimate = slowdown(*simulate(seed, machine, 0.05, rounds=rounds, slices=12, runs=3))
        usable += estimate.enough is None
        covered += estimate.enough is None and estimate.low <= 0.05 <= estimate.high
    assert usable >= 97
    assert covered / usable >= 0.89, "2.5 standard errors under 0.95"
