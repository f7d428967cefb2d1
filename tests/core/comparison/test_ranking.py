import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import kendalltau

from deltann.comparison.ranking import (
    MOST_ROWS,
    kendall_tau,
    rank_agreement,
    rank_biased_overlap,
    top_k_disagreements,
)
from deltann.tasks.classification import best_classes

SHAPE = st.shared(st.tuples(st.integers(1, 5), st.integers(2, 12)), key="shape")
SCORES = hnp.arrays("f4", SHAPE, elements=st.integers(-5, 5).map(float))
DISTINCT = SHAPE.flatmap(
    lambda s: st.lists(st.permutations(range(s[1])), min_size=s[0], max_size=s[0]).map(lambda x: np.array(x, "f4"))
)


def order(row):
    return sorted(range(len(row)), key=lambda i: (-row[i], i))


def slow_rbo(x, y, p):
    """Equation 32 of Webber et al. as written, over explicit sets."""
    s, t, k = order(x), order(y), len(x)
    overlap = [len(set(s[:d]) & set(t[:d])) for d in range(1, k + 1)]
    return overlap[-1] / k * p**k + (1 - p) / p * sum(o / d * p**d for d, o in enumerate(overlap, 1))


@given(SCORES, SCORES, st.sampled_from([0.5, 0.9, 0.98]))
def test_rbo_equals_the_definition(a, b, p):
    expected = [slow_rbo(x, y, p) for x, y in zip(a, b, strict=True)]
    assert rank_biased_overlap(a, b, p) == pytest.approx(expected, abs=1e-12)


@given(SCORES, SCORES)
def test_rbo_bounds_symmetry_identity(a, b):
    value = rank_biased_overlap(a, b)
    assert ((value >= 0) & (value <= 1 + 1e-12)).all()
    assert value == pytest.approx(rank_biased_overlap(b, a), abs=1e-12)
    assert rank_biased_overlap(a, a) == pytest.approx(np.ones(len(a)))


def test_rbo_weighs_the_top_more_than_the_end():
    a = np.arange(10.0, 0, -1)[None]
    head, tail = a.copy(), a.copy()
    head[0, [0, 1]] = head[0, [1, 0]]
    tail[0, [8, 9]] = tail[0, [9, 8]]
    assert rank_biased_overlap(a, head)[0] < rank_biased_overlap(a, tail)[0] < 1
    # The swap at the top loses only the agreement at depth 1, whose weight is 1 - p.
    assert rank_biased_overlap(a, head)[0] == pytest.approx(0.9)


@given(DISTINCT, DISTINCT)
def test_tau_bounds_symmetry_identity(a, b):
    tau = kendall_tau(a, b)
    assert ((tau >= -1 - 1e-12) & (tau <= 1 + 1e-12)).all()
    assert tau == pytest.approx(kendall_tau(b, a))
    assert kendall_tau(a, a) == pytest.approx(np.ones(len(a)))
    assert kendall_tau(a, -a) == pytest.approx(-np.ones(len(a)))


def test_tau_is_of_scores_not_of_lists_of_class_ids():
    """One neighbouring pair swapped costs 2/(C(C−1)/2) of τ; over the sorted class ids it would be arbitrary."""
    rng = np.random.default_rng(0)
    a = rng.permutation(100).astype("f4")
    b = a.copy()
    first, second = np.argsort(-a)[40:42]
    b[[first, second]] = b[[second, first]]
    right = 1 - 2 / (100 * 99 / 2)
    assert kendall_tau(a[None], b[None])[0] == pytest.approx(right)
    assert kendalltau(np.argsort(-a), np.argsort(-b)).statistic != pytest.approx(right, abs=1e-6)


@pytest.mark.parametrize("classes", [2, 255, 257, 70_000])
def test_tau_equals_scipy_s_with_ties_at_every_width_of_a_rank(classes):
    rng = np.random.default_rng(classes)
    a, b = (rng.integers(0, 0.9 * classes, (2, classes)).astype("f4") for _ in range(2))
    a[0], b[0] = rng.permutation(classes), rng.permutation(classes)
    expected = [kendalltau(x, y).statistic for x, y in zip(a, b, strict=True)]
    assert kendall_tau(a, b) == pytest.approx(expected, nan_ok=True, rel=1e-9)


def test_rank_agreement_leaves_out_what_has_no_rank():
    a = np.array([[1, 2, 3], [np.nan, 2, 3], [5, 5, 5]], "f4")
    agreement = rank_agreement(a, a)
    assert (agreement.rows, agreement.tau_rows) == (2, 1)
    assert (agreement.tau_mean, agreement.rbo_min) == (1, pytest.approx(1))
    nothing = rank_agreement(a[1:2], a[1:2])
    assert (nothing.rows, nothing.tau_mean, nothing.rbo_mean) == (0, None, None)


def test_rank_agreement_uses_evenly_spaced_rows_of_many():
    rng = np.random.default_rng(1)
    a = rng.normal(size=(2000, 4)).astype("f4")
    b = a.copy()
    b[-1] = -b[-1]  # the last row is among them
    agreement = rank_agreement(a, b)
    assert (agreement.rows, agreement.tau_min) == (MOST_ROWS, -1)
    assert rank_agreement(a[:300], b[:300]).rows == 300
    wide = rng.normal(size=(40, 60_000)).astype("f2")
    assert rank_agreement(wide, wide).rows == 16


def test_rank_agreement_of_256_by_1000_takes_well_under_a_second():
    rng = np.random.default_rng(2)
    a = rng.normal(size=(256, 1000)).astype("f4")
    rank_agreement(a[:2], a[:2])
    start = time.process_time()
    assert rank_agreement(a, a + np.float32(1e-3)).rows == 128
    assert time.process_time() - start < 1


@given(SCORES, SCORES, st.data())
def test_top_k_sets_equal_the_definition(a, b, data):
    k = data.draw(st.integers(1, a.shape[1]))
    expected = sum(set(order(x)[:k]) != set(order(y)[:k]) for x, y in zip(a, b, strict=True))
    assert top_k_disagreements(best_classes(a, k), best_classes(b, k)) == expected
    assert top_k_disagreements(best_classes(a, k), best_classes(a, k)) == 0


def test_a_nan_row_never_agrees_on_its_top_k():
    a = np.array([[1, 2, np.nan], [1, 2, 3]], "f4")
    best, other = best_classes(a, 2), best_classes(np.nan_to_num(a), 2)
    assert [top_k_disagreements(*sides) for sides in ((best, best), (best, other), (other, best))] == [1, 1, 1]
    assert top_k_disagreements(other, other) == 0


def test_integer_and_bool_scores_of_the_other_side():
    a = np.array([[0, 1, 0], [1, 0, 0]], "f4")
    for dtype in ("u1", "bool"):
        assert rank_agreement(a, a.astype(dtype)).rbo_min == pytest.approx(1)
        assert top_k_disagreements(best_classes(a, 1), best_classes(a.astype(dtype), 1)) == 0
