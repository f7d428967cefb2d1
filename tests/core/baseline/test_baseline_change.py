"""What is more than chance, and what is not: each rule with its opposite."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltann.baseline.change import (
    FACTOR,
    PEAK_FACTOR,
    Direction,
    agreement_changes,
    cannot_tell,
    failure_changes,
    time_change,
    time_changes,
)
from deltann.baseline.entries import WRONG, Agreement, Failure, Time
from deltann.comparison.verdict import Verdict
from deltann.outcome import Stage, Status, Symptom
from deltann.timing.verdict import TimeVerdict

WORSE, BETTER, OTHER = Direction
EQUIVALENT = TimeVerdict.EQUIVALENT


def found(old: Agreement, new: Agreement, atol: float = 0.0) -> dict[str, Direction]:
    return {change.what: change.direction for change in agreement_changes(old, new, atol)}


def agreement(verdict: Verdict = Verdict.AGREE, count: int | None = 0, *errors: float, **more: int) -> Agreement:
    p50, p99, largest = errors or (None, None, None)
    return Agreement(verdict, 1000, count, p50, p99, largest, **more)


@pytest.mark.parametrize(
    ("old", "new", "direction"),
    [
        (Verdict.AGREE, Verdict.DIFFER, WORSE),
        (Verdict.AGREE, Verdict.INCONCLUSIVE, WORSE),
        (Verdict.INCONCLUSIVE, Verdict.DIFFER, WORSE),
        (Verdict.DIFFER, Verdict.AGREE, BETTER),
        (Verdict.INCONCLUSIVE, Verdict.AGREE, BETTER),
        (Verdict.DIFFER, Verdict.INCONCLUSIVE, OTHER),
    ],
)
def test_a_verdict_further_from_agree_is_worse(old: Verdict, new: Verdict, direction: Direction):
    assert found(agreement(old), agreement(new)) == {"verdict": direction}
    assert found(agreement(old), agreement(old)) == {}


def test_a_rate_is_worse_where_its_rise_is_beyond_chance():
    assert found(agreement(count=5), agreement(count=25)) == {"labels that differ": WORSE}
    assert found(agreement(count=25), agreement(count=5)) == {"labels that differ": BETTER}
    assert found(agreement(count=5), agreement(count=8)) == {}
    assert found(agreement(count=0), agreement(count=1)) == {}
    assert found(agreement(count=0), agreement(count=10)) == {"labels that differ": WORSE}


def test_samples_outside_are_judged_by_the_same_rule():
    def off(count: int | None) -> Agreement:
        return Agreement(Verdict.DIFFER, 1000, None, outside=count)

    assert found(off(1), off(9)) == {"samples outside": WORSE}
    assert found(off(9), off(1)) == {"samples outside": BETTER}
    assert found(off(1), off(5)) == {}
    assert found(off(None), off(9)) == {"samples outside": OTHER}
    assert found(off(9), off(9)) == {}


def test_the_rise_has_newcombes_interval():
    """His example (1998, table II, a): 56/70 − 48/80, method 10 [0.0524, 0.3339]; and (b), 9/10 − 3/10."""
    (a,) = agreement_changes(Agreement(Verdict.AGREE, 80, 48), Agreement(Verdict.AGREE, 70, 56), 0)
    assert "[+5.24%, +33.39%]" in a.reason
    (b,) = agreement_changes(Agreement(Verdict.AGREE, 10, 3), Agreement(Verdict.AGREE, 10, 9), 0)
    assert "[+17.05%, +80.90%]" in b.reason


def test_two_draws_of_one_rate_are_rarely_called_worse():
    rng = np.random.default_rng(5)
    draws = rng.binomial(1000, 0.02, (400, 2))
    worse = sum(WORSE in found(agreement(count=int(a)), agreement(count=int(b))).values() for a, b in draws)
    assert worse <= 20, "2.5 % is what chance gives"
    doubled = rng.binomial(1000, [[0.02, 0.06]], (100, 2))
    assert sum(WORSE in found(agreement(count=int(a)), agreement(count=int(b))).values() for a, b in doubled) > 95


def test_errors_are_worse_from_a_factor_on():
    old = agreement(Verdict.AGREE, None, 1e-6, 1e-5, 1e-4)
    assert found(old, agreement(Verdict.AGREE, None, 1.9e-6, 1.9e-5, 3.9e-4)) == {}
    assert found(old, agreement(Verdict.AGREE, None, 1e-6, 2.1e-5, 1e-4)) == {"|Δ| p99": WORSE}
    assert found(old, agreement(Verdict.AGREE, None, 1e-6, 1e-5, 4.1e-4)) == {"|Δ| max": WORSE}
    assert found(old, agreement(Verdict.AGREE, None, 1e-6, 1e-5, math.inf)) == {"|Δ| max": WORSE}
    assert found(old, agreement(Verdict.AGREE, None, 4e-7, 1e-5, 1e-4)) == {"|Δ| p50": BETTER}
    infinite = agreement(Verdict.DIFFER, None, 1e-6, 1e-5, math.inf)
    assert found(infinite, infinite) == {}
    assert found(infinite, agreement(Verdict.DIFFER, None, 1e-6, 1e-5, 1e-4)) == {"|Δ| max": BETTER}


@given(st.floats(1e-12, 1e12), st.floats(1, 100))
def test_the_factor_is_the_one_that_is_documented(error: float, times: float):
    old, new = agreement(Verdict.AGREE, None, error, error, error), error * times
    told = found(old, agreement(Verdict.AGREE, None, error, new, new))
    assert (told.get("|Δ| p99") is WORSE) is (new > FACTOR * error)
    assert (told.get("|Δ| max") is WORSE) is (new > PEAK_FACTOR * error)


def test_rounding_is_rounding_however_it_grows():
    old, new = agreement(Verdict.AGREE, None, 1e-9, 1e-9, 1e-9), agreement(Verdict.AGREE, None, 9e-6, 9e-6, 9e-6)
    assert found(old, new, atol=1e-3) == {}
    assert set(found(old, new, atol=1e-4).values()) == {WORSE}
    assert set(found(old, new).values()) == {WORSE}, "integers have no tolerance"


def test_the_end_of_equal_bits_is_told_and_is_no_failure():
    old, new = agreement(Verdict.AGREE, None, 0.0, 0.0, 0.0), agreement(Verdict.AGREE, None, 0.0, 1e-7, 1e-7)
    assert found(old, new, atol=1e-3) == {"|Δ| max": OTHER}
    assert found(old, new, atol=0) == {"|Δ| p99": WORSE, "|Δ| max": WORSE}
    assert found(old, old) == {}


def test_numbers_that_vanish_are_worse():
    numbers, none = agreement(Verdict.DIFFER, 3, 1e-6, 1e-5, 1e-4), agreement(Verdict.DIFFER, None)
    assert found(numbers, none)["|Δ| max"] is WORSE
    assert WORSE not in found(none, numbers).values()


def test_a_structural_difference_more_is_worse():
    assert found(agreement(problems=1), agreement(problems=2)) == {"structural differences": WORSE}
    assert found(agreement(problems=1), agreement(problems=0)) == {"structural differences": BETTER}


def time(ratio: float, half: float = 0.02, verdict: TimeVerdict = EQUIVALENT) -> Time:
    return Time(verdict, (ratio, ratio / (1 + half), ratio * (1 + half)))


def told(old: Time, new: Time, margin: float = 0.05) -> list[Direction]:
    return [change.direction for change in time_changes(old, new, margin)]


def test_a_ratio_is_worse_where_its_change_is_surely_beyond_the_margin():
    assert told(time(1.0), time(1.12)) == [WORSE]
    assert told(time(1.12), time(1.0)) == [BETTER]
    assert told(time(3.0), time(3.0 * 1.12)) == [WORSE], "of an environment three times slower too"
    assert told(time(1.0), time(1.06)) == [], "it may be less than the margin"
    assert told(time(1.0, 0.3), time(1.12, 0.3)) == [], "these intervals tell nothing"
    assert told(time(1.0), time(1.12), margin=0.2) == []


def test_intervals_too_wide_to_tell_say_so():
    assert cannot_tell(time(1.0, 0.3), time(1.12, 0.3), 0.05) == "a change of 45% could not have been told"
    assert cannot_tell(time(1.0), time(1.0), 0.05) is None
    assert cannot_tell(time(1.0), Time(TimeVerdict.INCONCLUSIVE, None), 0.05) is None


def test_changes_of_independent_measurements_are_rarely_called_worse():
    """Two runs of one ratio, each with an interval of 95 %, against a margin of nearly nothing."""
    rng = np.random.default_rng(6)
    half = 0.02
    centres = np.exp(math.log1p(half) / 1.96 * rng.standard_normal((1000, 2)))
    worse = sum(told(time(a, half), time(b, half), margin=1e-9) == [WORSE] for a, b in centres.tolist())
    assert 10 <= worse <= 45, "2.5 %: neither more, nor so few that nothing would be found"


def test_the_change_is_symmetrical():
    change, half = time_change(time(1.0, 0.03), time(1.1, 0.04))
    back, half_back = time_change(time(1.1, 0.04), time(1.0, 0.03))
    assert change == pytest.approx(-back)
    assert half == pytest.approx(half_back) == pytest.approx(math.hypot(math.log(1.03), math.log(1.04)))


def test_a_confirmed_regression_is_worse_unless_it_was_accepted():
    slow = time(1.06, 0.005, TimeVerdict.REGRESSION)
    assert told(time(1.04), slow) == [WORSE]
    assert told(slow, slow) == []
    assert told(slow, time(1.05)) == []


def test_a_time_that_cannot_be_told_any_more_is_worse():
    unknown = Time(TimeVerdict.INCONCLUSIVE, None)
    assert told(time(1.0), unknown) == [WORSE]
    assert told(unknown, time(1.0)) == [OTHER]
    assert told(unknown, unknown) == []


CRASH = Failure(Status.FAILED, Stage.RUN, Symptom.CRASH)


@pytest.mark.parametrize("side", ["candidate", "reference"])
@pytest.mark.parametrize(
    ("old", "new", "direction"),
    [
        (None, CRASH, WORSE),
        (None, WRONG, WORSE),
        (WRONG, CRASH, WORSE),
        (CRASH, None, BETTER),
        (WRONG, None, BETTER),
        (CRASH, replace(CRASH, symptom=Symptom.TIMEOUT), OTHER),
    ],
)
def test_to_fail_while_timed_is_worse_than_not_to_be_told(
    side: str, old: Failure | None, new: Failure | None, direction: Direction
):
    """Too few rounds, a crash and wrong answers all leave no ratio; only the first is nobody's fault."""
    then, now = (replace(Time(TimeVerdict.INCONCLUSIVE, None), **{side: ended}) for ended in (old, new))
    (change,) = time_changes(then, now, 0.05)
    assert (change.what, change.direction) == (f"{side} while timed", direction)
    assert list(time_changes(now, now, 0.05)) == []


@pytest.mark.parametrize(
    ("old", "new", "direction"),
    [
        (Failure(Status.UNSUPPORTED), Failure(Status.FAILED, Stage.RUN, Symptom.CRASH), WORSE),
        (Failure(Status.UNAVAILABLE), Failure(Status.FAILED), WORSE),
        (Failure(Status.FAILED), Failure(Status.UNSUPPORTED), BETTER),
        (Failure(Status.FAILED), Failure(Status.UNAVAILABLE), OTHER),
        (Failure(Status.UNSUPPORTED), Failure(Status.UNAVAILABLE), OTHER),
        (Failure(Status.FAILED, Stage.RUN, Symptom.CRASH), Failure(Status.FAILED, Stage.RUN, Symptom.TIMEOUT), OTHER),
    ],
)
def test_to_fail_is_worse_than_to_decline(old: Failure, new: Failure, direction: Direction):
    (change,) = failure_changes(old, new)
    assert change.direction is direction
    assert list(failure_changes(new, new)) == []
