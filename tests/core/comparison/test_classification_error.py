import numpy as np
import pytest

from deltann.comparison.classification import classification_error
from deltann.comparison.statistics import proportion_interval
from deltann.comparison.tolerance import Tolerance

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(100, 10)).astype("f4")


def test_identical_scores_have_no_disagreement():
    error = classification_error(SCORES, SCORES.copy(), Tolerance(0, 0))
    assert (error.samples, error.classes, error.disagreements, error.rate, error.flips) == (100, 10, 0, 0, ())
    assert (error.k, error.top_k_disagreements, error.ranking.tau_min) == (5, 0, pytest.approx(1))
    assert error.interval == proportion_interval(0, 100)


def test_flips_are_counted_by_kind():
    scores = SCORES.copy()
    scores[1, :2] = 9, 9.001
    other = scores.copy()
    other[0] = np.roll(other[0], 1)
    other[1, :2] = 9.001, 9
    other[2, 4] = np.nan
    error = classification_error(scores, other, Tolerance(1e-3, 0))
    assert [flip.sample for flip in error.flips] == [0, 1, 2]
    assert (error.disagreements, error.ties, error.beyond_rounding, error.no_prediction) == (3, 1, 2, 1)
    assert error.rate == 0.03
    assert error.top_k_disagreements == 2


def test_nan_on_both_sides_is_a_disagreement():
    bad = np.full((4, 3), np.nan, "f4")
    error = classification_error(bad, bad, Tolerance(0, 0))
    assert (error.rate, error.top_k_disagreements, error.ranking.rows) == (1, 4, 0)


@pytest.mark.parametrize(("classes", "k"), [(2, 1), (5, 4), (6, 5), (1000, 5)])
def test_k_is_always_less_than_all_classes(classes, k):
    scores = RNG.normal(size=(3, classes))
    error = classification_error(scores, -scores, Tolerance(0, 0))
    assert error.k == k
    assert error.top_k_disagreements > 0
