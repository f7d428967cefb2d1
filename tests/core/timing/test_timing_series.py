"""Data that allow no judgement: each has a reason, and never a verdict that says all is well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from deltann.timing.estimate import slowdown
from deltann.timing.series import Seconds, Series, unfit
from deltann.timing.verdict import TimeVerdict, judge_times, precise_enough, to_confirm

Change = Callable[[tuple[Seconds, ...]], tuple[Seconds, ...]]


def _one_run(value: float) -> Change:
    def change(rounds: tuple[Seconds, ...]) -> tuple[Seconds, ...]:
        spoilt = [seconds.copy() for seconds in rounds]
        spoilt[2][5, 1] = value
        return tuple(spoilt)

    return change


BAD: dict[str, tuple[Change, str]] = {
    "no round": (lambda _: (), "0 rounds"),
    "no run": (lambda rounds: tuple(seconds[:0] for seconds in rounds), "not enough samples: no run"),
    "one run": (lambda rounds: (rounds[0][:1, :1],), "1 round, 5 are needed"),
    "one run a round": (lambda rounds: tuple(seconds[:1, :1] for seconds in rounds), "1 slice in a round, 8 are"),
    "four rounds": (lambda rounds: rounds[:4], "not enough samples: 4 rounds, 5 are needed"),
    "NaN": (_one_run(np.nan), "new, round 3: a time is not a finite number"),
    "infinite": (_one_run(np.inf), "not a finite number"),
    "zero": (_one_run(0.0), "took 0 s: the clock jumped or is too coarse"),
    "negative": (_one_run(-0.001), "round 3: a run took -0.001 s: the clock jumped"),
    "an hour": (_one_run(3600.0), "round 3: a run took 3.6e+03 s among runs of 0.00"),
    "one run below the clock": (_one_run(4e-7), "400 ns: under 1 µs"),
    "all below the clock": (lambda rounds: tuple(seconds * 1e-4 for seconds in rounds), "under 1 µs"),
    "a coarse clock": (lambda rounds: tuple(np.full_like(seconds, 0.016) for seconds in rounds), "exactly equal"),
    "not a table": (lambda rounds: tuple(seconds.ravel() for seconds in rounds), "no run"),
}


@pytest.mark.parametrize("both", [False, True], ids=["one side", "both sides"])
@pytest.mark.parametrize("name", BAD)
def test_bad_data_is_inconclusive_with_a_reason(name: str, both: bool, simulate: Callable[..., tuple[Series, Series]]):
    change, reason = BAD[name]
    candidate, reference = simulate(1, slowdown=-0.3)
    candidate = replace(candidate, rounds=change(candidate.rounds))
    if both:
        reference = replace(reference, rounds=change(reference.rounds))
    for pair, series in {("new", "old"): (candidate, reference), ("old", "new"): (reference, candidate)}.items():
        estimate = slowdown(*series)
        assert estimate.enough is not None
        if both or len(candidate.rounds) == len(reference.rounds):
            expected = reason.replace("new", "old") if both and pair == ("old", "new") else reason
            assert expected in estimate.enough or ("unequal data" in estimate.enough and not both)
        assert "\n" not in estimate.enough
        for confirmations in (None, {pair: estimate}, {pair: slowdown(*simulate(2))}):
            judgement = judge_times({pair: estimate}, confirmations=confirmations)[pair]
            assert judgement.verdict is TimeVerdict.INCONCLUSIVE
            assert judgement.reasons == (estimate.enough,)
        assert not precise_enough(estimate)
        assert to_confirm({pair: estimate}) == ()


def test_unequal_data_are_refused(simulate: Callable[..., tuple[Series, Series]]) -> None:
    candidate, reference = simulate(1)
    fewer = replace(candidate, rounds=(candidate.rounds[0][:-1], *candidate.rounds[1:]))
    assert unfit(fewer, reference) == "unequal data: round 1 has 23 slices of new and 24 of old"
    assert unfit(reference, simulate(1, rounds=6)[0]) == "unequal data: 5 rounds of old, 6 of new"


def test_good_data_are_not_refused(simulate: Callable[..., tuple[Series, Series]]) -> None:
    candidate, reference = simulate(1)
    assert unfit(candidate, reference) is None
    wider = replace(candidate, rounds=tuple(np.hstack([seconds, seconds]) for seconds in candidate.rounds))
    assert unfit(wider, reference) is None, "environments may differ in runs"
    stalled = _one_run(0.9)(candidate.rounds)
    assert unfit(replace(candidate, rounds=stalled), reference) is None, "a stall of a busy machine"
    assert slowdown(replace(candidate, rounds=stalled), reference).enough is None
