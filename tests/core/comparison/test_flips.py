import numpy as np
import pytest

from deltann.comparison.flips import Kind, flips
from deltann.comparison.tolerance import Tolerance
from deltann.tasks.classification import predictions


def find(a, b, tolerance):
    a, b = np.array([a], "f4"), np.array([b], "f4")
    return flips(a, b, predictions(a), predictions(b), tolerance)


def test_agreeing_labels_are_no_flip():
    assert find([1, 2, 3], [3, 2, 9], Tolerance(0, 0)) == ()


def test_inside_the_envelope_is_a_tie_and_outside_is_not():
    a, b = [0, 10.25, 10], [0, 10, 10.5]
    (tie,) = find(a, b, Tolerance(0.02, 0.05))
    assert (tie.sample, tie.label_a, tie.label_b, tie.kind) == (0, 1, 2, Kind.TIE)
    assert (tie.margin_a, tie.margin_b) == (0.25, 0.5)
    assert tie.envelope == pytest.approx(2 * (0.05 + 0.02 * 10.5))
    (fault,) = find(a, b, Tolerance(0.02, 0))
    assert fault.kind is Kind.BEYOND_ROUNDING


def test_both_margins_must_be_inside():
    assert find([1, 1.01], [5, 1], Tolerance(0, 0.1))[0].kind is Kind.BEYOND_ROUNDING
    assert find([1, 5], [1.01, 1], Tolerance(0, 0.1))[0].kind is Kind.BEYOND_ROUNDING


def test_a_close_runner_up_does_not_excuse_a_label_from_far_below():
    """Both top-1/top-2 gaps are tiny, yet class 0 fell from the top to the bottom."""
    (flip,) = find([10, 9.999, -5], [-5, 9.999, 10], Tolerance(0, 0.1))
    assert flip.kind is Kind.BEYOND_ROUNDING
    assert flip.margin_a == 15


@pytest.mark.parametrize(
    ("a", "b", "labels"),
    [
        ([1, np.nan], [1, 2], (-1, 1)),
        ([1, 2], [np.nan, 2], (1, -1)),
        ([1, np.nan], [1, np.nan], (-1, -1)),
        ([1, np.inf], [np.inf, 1], (1, 0)),
    ],
)
def test_nan_and_infinity_are_beyond_any_rounding(a, b, labels):
    (flip,) = find(a, b, Tolerance(1.0, 1e30))
    assert (flip.label_a, flip.label_b, flip.kind) == (*labels, Kind.BEYOND_ROUNDING)
    assert (flip.margin_a, flip.margin_b, flip.envelope) == (None, None, None)


def test_two_elements_inside_the_tolerance_can_only_flip_as_a_tie():
    rng = np.random.default_rng(0)
    tolerance = Tolerance(0.01, 0.01)
    b = rng.normal(size=(5000, 3))
    a = b + rng.uniform(-1, 1, b.shape) * (tolerance.atol + tolerance.rtol * np.abs(b))
    found = flips(a, b, predictions(a), predictions(b), tolerance)
    assert len(found) > 10
    assert all(flip.kind is Kind.TIE for flip in found)
