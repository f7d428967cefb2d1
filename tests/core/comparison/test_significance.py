from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltann.comparison.significance import benjamini_hochberg, holm, mcnemar

PS = st.lists(st.floats(0, 1), min_size=1, max_size=20)


@settings(deadline=None)  # the first call imports scipy
@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_two_sided_binomial_test(b, c):
    stats = pytest.importorskip("scipy.stats")
    expected = 1.0 if b + c == 0 else stats.binomtest(b, b + c).pvalue
    assert mcnemar(b, c) == mcnemar(c, b) == pytest.approx(expected, rel=1e-9)


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_falls_as_the_two_part(b, c):
    low, high = sorted((b, c))
    assert 0 <= mcnemar(low, high + 1) <= mcnemar(low, high) <= 1


def test_mcnemar_refuses_what_is_no_count():
    with pytest.raises(ValueError):
        mcnemar(-1, 3)


@settings(deadline=None)
@given(PS)
def test_benjamini_hochberg_equals_scipys(ps):
    stats = pytest.importorskip("scipy.stats")
    assert benjamini_hochberg(ps) == pytest.approx(list(stats.false_discovery_control(ps)), abs=1e-12)


@given(PS)
def test_adjusted_values_never_fall_keep_the_order_and_holm_is_the_stricter(ps):
    strict, lenient = holm(ps), benjamini_hochberg(ps)
    order = sorted(range(len(ps)), key=lambda index: ps[index])
    for adjusted in (strict, lenient):
        assert all(p <= q <= 1 for p, q in zip(ps, adjusted, strict=True))
        assert all(adjusted[i] <= adjusted[j] for i, j in pairwise(order))
    assert all(q <= h + 1e-15 for q, h in zip(lenient, strict, strict=True))
    assert min(strict) == pytest.approx(min(1.0, min(ps) * len(ps)))


def test_one_or_no_question_is_left_as_it_is():
    assert holm([0.03]) == benjamini_hochberg([0.03]) == [0.03]
    assert holm([]) == benjamini_hochberg([]) == []


def test_holm_by_hand():
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
