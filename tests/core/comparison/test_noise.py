import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltann.comparison.noise import OutputNoise, describe, self_noise
from deltann.comparison.tolerance import Tolerances
from deltann.tasks import Task

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(20, 10)).astype("f4")
NONE = Tolerances()


def noise(first, *repeats, tolerances=NONE, tasks=None):
    (found,) = self_noise({"y": first}, [{"y": again} for again in repeats], tolerances, tasks)
    return found


def test_the_same_again_is_identical():
    found = noise(SCORES, SCORES[:8].copy(), SCORES[:8].copy())
    assert found.identical
    assert (found.output, found.samples) == ("y", 8)
    assert (found.max_abs, found.rms, found.labels_changed, found.outside, found.problem) == (0, 0, 0, 0, None)
    assert describe(found) is None


def test_sums_in_another_order_are_noise_within_the_tolerance():
    again = SCORES[:8] * np.float32(1 + 1e-6)
    found = noise(SCORES, SCORES[:8], again)
    difference = np.abs(again.astype("f8") - SCORES[:8])
    assert not found.identical
    assert found.max_abs == difference.max()
    assert found.rms == pytest.approx(np.sqrt(np.mean(difference**2)))
    assert (found.labels_changed, found.outside) == (0, 0)
    assert describe(found).startswith("8 samples run again differ by up to ")
    assert "tolerance" not in describe(found)


def test_the_worst_repeat_counts_wherever_it_stands():
    worse = SCORES[:8].copy()
    worse[3] = worse[3, ::-1]
    found = noise(SCORES, worse, SCORES[:8])
    assert found == noise(SCORES, SCORES[:8], worse)
    assert found.labels_changed == 1
    assert 0 < found.outside <= 10
    assert "1 labels changed" in describe(found)
    assert "elements outside the tolerance" in describe(found)


def test_an_engine_that_answers_with_the_sample_before_shows_backwards():
    """It gives the same in the same order."""
    stale = SCORES[[0, *range(7)]]
    backwards = SCORES[[1, 2, 3, 4, 5, 6, 7, 7]]
    assert noise(stale, stale).identical
    assert noise(stale, stale, backwards).labels_changed > 4


def test_the_users_tolerance_counts():
    again = SCORES[:8] + np.float32(0.01)
    assert noise(SCORES, again).outside == 80
    assert noise(SCORES, again, tolerances=Tolerances(atol={"y": 0.02})).outside == 0


def test_labels_are_those_of_classifications():
    images = SCORES.reshape(20, 10, 1, 1)
    assert noise(images, images[:8][:, ::-1]).labels_changed > 0
    assert noise(SCORES, SCORES[:8, ::-1], tasks={"y": Task.TENSOR}).labels_changed == 0
    assert noise(SCORES.reshape(20, 5, 2), SCORES.reshape(20, 5, 2)[:8, ::-1]).labels_changed == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite_one_time_only(value):
    again = SCORES[:8].copy()
    again[2, 3] = value
    found = noise(SCORES, again)
    assert (found.identical, found.outside) == (False, 1)
    assert "1 elements outside" in describe(found)
    always = SCORES.copy()
    always[2, 3] = value
    assert noise(always, again).identical


def test_bits_that_no_value_shows():
    zeros = np.zeros((4, 3), "f4")
    found = noise(zeros, -zeros)
    assert (found.identical, found.max_abs, found.outside) == (False, 0, 0)
    assert "in bits" in describe(found)
    assert noise(zeros, zeros).identical


@pytest.mark.parametrize(
    ("again", "problem"),
    [
        (SCORES[:8, :9], "shape [9] instead of [10]"),
        (SCORES[:8].astype("f8"), "float64 instead of float32"),
        (np.vstack([SCORES, SCORES]), "40 samples"),
        (SCORES[:0], "empty"),
        (np.float32(1), "no sample axis"),
    ],
)
def test_another_structure_is_a_problem(again, problem):
    found = noise(SCORES, SCORES[:8], again)
    assert not found.identical
    assert problem in found.problem
    assert problem in describe(found)


def test_missing_and_extra_outputs_are_problems():
    missing, extra = self_noise({"y": SCORES}, [{"y": SCORES[:8]}, {"z": SCORES[:8]}], NONE)
    assert (missing.output, missing.identical, missing.problem) == ("y", False, "it is missing")
    assert (extra.output, extra.identical) == ("z", False)
    assert "only" in describe(extra)
    (alone,) = self_noise({"y": SCORES}, [{"y": SCORES[:8]}], NONE)
    assert alone.problem is None


def test_each_output_by_itself():
    outputs = {"a": SCORES, "b": SCORES}
    first, second = self_noise(outputs, [{"b": SCORES[:4] * 2, "a": SCORES[:4]}], NONE)
    assert (first.output, first.identical) == ("a", True)
    assert (second.output, second.identical) == ("b", False)


def test_without_repeats_nothing_is_known():
    assert self_noise({"y": SCORES}, [], NONE) == ()


@pytest.mark.parametrize("dtype", ["i8", "u1", "bool"])
def test_integers(dtype):
    first = RNG.integers(0, 2, (8, 4)).astype(dtype)
    assert noise(first, first.copy()).identical
    again = first.copy()
    again[0, 0] = not again[0, 0]
    assert (noise(first, again).outside, noise(first, again).max_abs) == (1, 1)


def test_numbers_that_cannot_be_subtracted():
    words = np.array([["a"], ["b"]])
    assert noise(words, words.copy()).identical
    assert "others" in noise(words, words[::-1]).problem


@given(st.integers(0, 7), st.integers(0, 9), st.floats(-1e3, 1e3, width=32))
def test_no_change_of_a_bit_goes_unnoticed(row, column, value):
    again = SCORES[:8].copy()
    again[row, column] = value
    found = noise(SCORES, again)
    same = again.tobytes() == SCORES[:8].tobytes()
    assert found.identical is same
    assert (describe(found) is None) is same


def test_beyond_the_tolerance():
    for how in ({"outside": 1}, {"labels_changed": 1}, {"problem": "it is missing"}):
        assert OutputNoise("y", 8, False, **how).beyond
    assert not OutputNoise("y", 8, False, max_abs=1e-9, rms=1e-9).beyond
    assert not OutputNoise("y", 8, True).beyond
