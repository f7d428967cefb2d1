from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltann.errors import UsageError
from deltann.timing.estimate import Estimate, mean_interval
from deltann.timing.verdict import (
    TimeJudgement,
    TimeVerdict,
    judge_times,
    precise_enough,
    to_confirm,
)

PAIR = ("new", "old")


def estimate(centre: float, spread: float = 0.02, rounds: int = 5) -> Estimate:
    """An estimate from rounds whose log ratios lie evenly around log(1 + centre)."""
    ratios = tuple(math.log1p(centre) + spread * (2 * k / (rounds - 1) - 1) for k in range(rounds))
    middle, reach, p_value = mean_interval(ratios, 0.95)
    low, high = math.expm1(middle - reach), math.expm1(middle + reach)
    return Estimate(math.expm1(middle), low, high, p_value, rounds, 100, 0, ratios=ratios)


def judge(first: Estimate, second: Estimate | None = None, margin: float = 0.05, detectable: float | None = None):
    confirmations = None if second is None else {PAIR: second}
    return judge_times({PAIR: first}, margin, detectable, confirmations)[PAIR]


@pytest.mark.parametrize("centre", [0.04, 0.06, 0.10, 3.0])
def test_slower_twice_is_a_regression(centre: float) -> None:
    judgement = judge(estimate(centre), estimate(centre))
    assert judgement.verdict is TimeVerdict.REGRESSION
    assert judgement.reasons[0].startswith(f"{100 * centre:.1f} % slower [")
    assert "fresh processes say so too" in judgement.reasons[0]


@pytest.mark.parametrize("centre", [-0.04, -0.06, -0.5])
def test_faster_twice_is_improved(centre: float) -> None:
    judgement = judge(estimate(centre), estimate(centre))
    assert judgement.verdict is TimeVerdict.IMPROVED
    assert judgement.reasons[0].startswith(f"{-100 * centre:.1f} % faster [")


@pytest.mark.parametrize("centre", [0.0, 0.02, -0.02])
def test_within_the_margin_is_equivalent(centre: float) -> None:
    judgement = judge(estimate(centre, 0.01))
    assert judgement.verdict is TimeVerdict.EQUIVALENT
    assert judgement.reasons[0].endswith("within ±5 %")
    assert to_confirm({PAIR: judgement.estimate}) == ()


def test_a_sure_slowdown_under_the_margin_is_equivalent() -> None:
    first = estimate(0.03, 0.002)
    assert first.low > 0
    assert judge(first, first).verdict is TimeVerdict.EQUIVALENT
    assert judge(first, first, margin=0.03).verdict is TimeVerdict.REGRESSION


@pytest.mark.parametrize("centre", [0.0, 0.03, 0.2, -0.2])
def test_a_wide_interval_is_inconclusive(centre: float) -> None:
    judgement = judge(estimate(centre, 0.3))
    assert judgement.verdict is TimeVerdict.INCONCLUSIVE
    assert "more rounds" in judgement.reasons[0]


def test_a_slowdown_of_less_than_half_the_margin_is_no_regression() -> None:
    first = estimate(0.024, 0.0279)
    assert judge(replace(first, p_value=0.0), estimate(0.1)).verdict is not TimeVerdict.REGRESSION


class TestConfirmation:
    def test_none_yet(self) -> None:
        first = estimate(0.1)
        assert to_confirm({PAIR: first}) == (PAIR,)
        judgement = judge(first)
        assert judgement.verdict is TimeVerdict.INCONCLUSIVE
        assert judgement.reasons[0].endswith("not confirmed by fresh processes")
        assert judgement.reasons[0].startswith("looks 10.0 % slower")

    @pytest.mark.parametrize(
        "second", [estimate(0.0), estimate(-0.1), estimate(0.1, 0.3), estimate(0.03, 0.001)], ids=str
    )
    def test_the_second_does_not_say_the_same(self, second: Estimate) -> None:
        judgement = judge(estimate(0.1), second)
        assert judgement.verdict is TimeVerdict.INCONCLUSIVE
        assert "not confirmed, fresh processes say" in judgement.reasons[0]
        assert judgement.confirmation is second

    def test_the_second_has_no_data(self) -> None:
        judgement = judge(estimate(0.1), replace(estimate(0.1), enough="not enough samples: 2 rounds, 5 are needed"))
        assert judgement.verdict is TimeVerdict.INCONCLUSIVE
        assert judgement.reasons[0].endswith("not confirmed: not enough samples: 2 rounds, 5 are needed")
        assert judge(estimate(0.1), replace(estimate(0.1), low=math.nan)).verdict is TimeVerdict.INCONCLUSIVE

    def test_one_side_at_95_percent_will_do_for_the_second(self) -> None:
        second = estimate(0.1, 0.11)
        assert 0.05 < second.p_value < 0.10
        assert judge(second, estimate(0.1)).verdict is TimeVerdict.INCONCLUSIVE
        assert judge(estimate(0.1), second).verdict is TimeVerdict.REGRESSION

    def test_it_is_not_asked_where_nothing_looks_different(self) -> None:
        assert judge(estimate(0.0, 0.01), estimate(0.2)).verdict is TimeVerdict.EQUIVALENT


class TestDetectable:
    @pytest.mark.parametrize("first", [estimate(0.0, 0.001), estimate(0.5), estimate(-0.5)], ids=str)
    @pytest.mark.parametrize("detectable", [0.051, math.inf, math.nan])
    def test_a_margin_below_it_decides_nothing(self, first: Estimate, detectable: float) -> None:
        judgement = judge(first, first, detectable=detectable)
        assert judgement.verdict is TimeVerdict.INCONCLUSIVE
        assert "a margin of 5 % decides nothing here" in judgement.reasons[0]

    def test_a_margin_at_it_decides(self) -> None:
        assert judge(estimate(0.0, 0.001), detectable=0.05).verdict is TimeVerdict.EQUIVALENT
        assert judge(estimate(0.5), estimate(0.5), detectable=0.05).verdict is TimeVerdict.REGRESSION


@pytest.mark.parametrize("field", ["slowdown", "low", "high", "p_value"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_number_is_inconclusive(field: str, value: float) -> None:
    for first in (estimate(0.0, 0.001), estimate(0.5), estimate(-0.5)):
        broken = replace(first, **{field: value})
        assert judge(broken, first).verdict is TimeVerdict.INCONCLUSIVE
        assert not precise_enough(broken)
        assert to_confirm({PAIR: broken}) == ()


class TestManyPairs:
    def test_one_doubtful_pair_among_many_is_not_flagged(self) -> None:
        doubtful = estimate(0.1, 0.09)
        assert 0.02 < doubtful.p_value < 0.05
        others = {(f"other{k}", "old"): estimate(0.001 * k, 0.02) for k in range(10)}
        assert to_confirm({PAIR: doubtful}) == (PAIR,)
        assert to_confirm({PAIR: doubtful, **others}) == ()
        judgement = judge_times({PAIR: doubtful, **others}, confirmations={PAIR: estimate(0.1)})[PAIR]
        assert judgement.verdict is TimeVerdict.INCONCLUSIVE
        assert "not among this many pairs" in judgement.reasons[0]
        assert judgement.adjusted is not None
        assert judgement.adjusted > doubtful.p_value

    def test_a_sure_pair_among_many_is(self) -> None:
        others = {(f"other{k}", "old"): estimate(0.001 * k, 0.02) for k in range(10)}
        assert to_confirm({PAIR: estimate(0.1, 0.01), **others}) == (PAIR,)

    def test_pairs_without_data_do_not_count(self) -> None:
        doubtful = estimate(0.1, 0.09)
        empty = {(f"other{k}", "old"): replace(estimate(0), enough="no run", p_value=math.nan) for k in range(10)}
        judgements = judge_times({PAIR: doubtful, **empty})
        assert judgements[PAIR].adjusted == doubtful.p_value
        assert list(judgements) == [PAIR, *empty]
        assert {judgements[pair].adjusted for pair in empty} == {None}

    def test_no_pair(self) -> None:
        assert judge_times({}) == {}
        assert to_confirm({}) == ()


class TestStopRule:
    @given(st.floats(-0.5, 2.0), st.floats(0.001, 0.2))
    def test_it_reads_the_width_alone(self, centre: float, spread: float) -> None:
        assert precise_enough(estimate(centre, spread)) == precise_enough(estimate(0.0, spread))

    def test_half_the_margin_to_either_side(self) -> None:
        assert precise_enough(estimate(0.0, 0.03)) is False
        assert precise_enough(estimate(0.0, 0.02)) is True
        assert precise_enough(estimate(0.0, 0.02), margin=0.02) is False
        assert precise_enough(estimate(0.0, 0.03, rounds=20)) is True


@given(st.floats(-0.4, 0.4), st.floats(0.001, 0.1), st.floats(-0.4, 0.4), st.floats(0.001, 0.1))
def test_to_change_sides_turns_the_verdict_round(first: float, spread: float, second: float, wide: float) -> None:
    def turned(one: Estimate) -> Estimate:
        low, centre, high = (1 / (1 + value) - 1 for value in (one.high, one.slowdown, one.low))
        return replace(one, slowdown=centre, low=low, high=high)

    opposite = {
        TimeVerdict.REGRESSION: TimeVerdict.IMPROVED,
        TimeVerdict.IMPROVED: TimeVerdict.REGRESSION,
    }
    there: TimeJudgement = judge(estimate(first, spread), estimate(second, wide))
    back = judge(turned(estimate(first, spread)), turned(estimate(second, wide)))
    assert back.verdict is opposite.get(there.verdict, there.verdict)


@pytest.mark.parametrize("margin", [0, -0.05, 5, math.nan])
def test_an_impossible_margin_is_refused(margin: float) -> None:
    with pytest.raises(UsageError, match="such as 5% or"):
        judge_times({PAIR: estimate(0.1)}, margin)
    with pytest.raises(UsageError, match="such as 5% or"):
        to_confirm({PAIR: estimate(0.1)}, margin)
