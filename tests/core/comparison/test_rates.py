import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltann.comparison.rates import Standing, exceeds_p, samples_needed, standing

COUNTS = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
LIMITS = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.001, 0.005, 0.01, 0.5, 1.0]))


def test_few_samples_cannot_tell_and_many_can():
    few = standing(0, 100, 0.005)
    assert (few.standing, few.needed) == (Standing.UNKNOWN, 765)
    assert standing(0, 765, 0.005).standing is Standing.WITHIN
    assert standing(0, 764, 0.005).standing is Standing.UNKNOWN
    assert standing(5, 100, 0.005).standing is Standing.ABOVE


def test_a_rate_at_the_limit_is_decided_by_no_number_of_samples():
    for samples in (200, 20_000, 2_000_000):
        found = standing(samples // 200, samples, 0.005)
        assert (found.standing, found.needed) == (Standing.UNKNOWN, None)
    assert standing(90, 20_000, 0.005).needed is not None


def test_a_limit_of_none_asks_about_these_samples_alone():
    assert standing(0, 3, 0.0).standing is Standing.WITHIN
    assert standing(1, 100_000, 0.0).standing is Standing.ABOVE
    assert standing(3, 3, 1.0).standing is Standing.WITHIN


@given(COUNTS, LIMITS)
def test_a_rate_above_the_limit_is_never_within_nor_the_other_way_round(counts, limit):
    count, samples = counts
    found = standing(count, samples, limit).standing
    if count / samples > limit:
        assert found is not Standing.WITHIN
    else:
        assert found is not Standing.ABOVE


@given(COUNTS, st.floats(1e-4, 1 - 1e-4))
def test_the_samples_needed_really_decide(counts, limit):
    count, samples = counts
    found = standing(count, samples, limit)
    if found.needed is None:
        return
    rate = count / samples
    again = standing(round(rate * found.needed), found.needed, limit)
    assert again.standing is (Standing.ABOVE if rate > limit else Standing.WITHIN)
    assert found.needed >= samples * 0.9, "fewer would have told already"


@given(st.floats(1e-3, 0.5))
def test_nearer_to_the_limit_it_takes_more(limit):
    assert samples_needed(limit / 2, limit) <= samples_needed(limit * 0.9, limit)
    assert samples_needed(0.0, limit) <= samples_needed(limit / 2, limit)


def test_limits_that_nobody_has_samples_for():
    assert samples_needed(0.0, 5e-324) is None
    assert samples_needed(1.0, 1 - 1e-16) is None


@given(COUNTS, st.floats(1e-4, 1 - 1e-4))
def test_the_p_value_is_dual_to_the_interval(counts, limit):
    count, samples = counts
    p_value, place = exceeds_p(count, samples, limit), standing(count, samples, limit).standing
    assert 0 <= p_value <= 1
    if p_value < 0.025 - 1e-9:
        assert place is Standing.ABOVE
    if p_value > 0.025 + 1e-9:
        assert place is not Standing.ABOVE


@given(COUNTS, LIMITS, st.floats(0, 1))
def test_adjusting_for_many_pairs_only_takes_differences_back(counts, limit, adjusted):
    alone, among = standing(*counts, limit), standing(*counts, limit, adjusted)
    if alone.standing is not among.standing:
        assert (alone.standing, among.standing) == (Standing.ABOVE, Standing.UNKNOWN)
        assert adjusted > 0.025


def test_no_samples_have_no_rate():
    with pytest.raises(ValueError):
        standing(0, 0, 0.5)
    with pytest.raises(ValueError):
        exceeds_p(0, 0, 0.5)
