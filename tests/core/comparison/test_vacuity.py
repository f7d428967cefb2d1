import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltann.comparison.tolerance import Tolerance, Tolerances
from deltann.comparison.vacuity import ONE_SAMPLE, one_label, vacuity

SOME = Tolerance(1e-3, 1e-3)
RNG = np.random.default_rng(0)


def default(output):
    dtype = np.dtype(output.dtype)
    return vacuity(output, Tolerances().of("y", dtype, dtype, float(np.sqrt(np.mean(output.astype("f8") ** 2)))))


def softmax(logits):
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (raised / raised.sum(axis=1, keepdims=True)).astype("f4")


def test_an_output_that_ignores_its_input_is_vacuous():
    row = RNG.normal(size=(1, 1000)).astype("f4")
    same = np.repeat(row, 200, axis=0)
    assert "every sample gave the same output" in vacuity(same, SOME)
    assert vacuity(same + RNG.normal(size=same.shape) * 1e-5, SOME)
    assert vacuity(same + RNG.normal(size=same.shape) * 0.1, SOME) is None


@pytest.mark.parametrize("shape", [(1, 1000), (1, 10, 3, 3)])
def test_one_sample_of_equal_elements_is_vacuous(shape):
    assert "same value" in vacuity(np.full(shape, 0.25, "f4"), SOME)
    assert vacuity(RNG.normal(size=shape), SOME) is None


def test_one_number_of_one_sample_is_not():
    assert vacuity(np.ones((1, 1)), SOME) is None


@pytest.mark.parametrize("dtype", ["i8", "u1", "bool"])
def test_integers(dtype):
    exact = Tolerance(0, 0)
    assert vacuity(np.ones((3, 2), dtype), exact)
    assert vacuity(np.array([[0, 1], [1, 0]], dtype), exact) is None


def test_nan_rows_are_not_called_constant():
    assert vacuity(np.full((3, 2), np.nan), SOME) == "every element is NaN"


def test_nearly_all_nan():
    output = np.full((100, 50), np.nan, "f4")
    output[:40, 0] = RNG.normal(size=40)
    assert "99.200% of its elements are NaN" in vacuity(output, SOME)
    output[:, 1] = RNG.normal(size=100)
    assert vacuity(output, SOME) is None


def test_a_little_of_one_element_is_nearly_constant():
    """As SqueezeNet's logits of noise, which differ by 0.6 % of their RMS and all name one class."""
    row = RNG.normal(size=(1, 1000))
    moved = (row + 0.006 * RNG.normal(size=(200, 1000))).astype("f4")
    assert "nearly constant" in default(moved)
    assert default((row + 0.04 * RNG.normal(size=(200, 1000))).astype("f4")) is None


def test_one_value_a_sample_is_vacuous():
    """As of a network all of whose weights are equal."""
    repeated = np.repeat(RNG.normal(size=(60, 1)).astype("f4"), 10, axis=1)
    assert "one value" in default(repeated)
    assert "one value" in default(repeated + RNG.normal(size=repeated.shape).astype("f4") * np.float32(1e-6))
    assert default(repeated + 0.1 * RNG.normal(size=repeated.shape)) is None
    assert default(repeated[:, :1]) is None


def test_a_softmax_at_its_bounds_is_saturated():
    logits = RNG.normal(size=(300, 10))
    assert "saturated" in default(softmax(logits * 1e5))
    assert default(softmax(logits * 5)) is None


def test_a_sigmoid_at_its_bounds_is_saturated():
    logits = RNG.normal(size=(300, 7, 7))
    with np.errstate(over="ignore"):
        assert "nothing but 0 and 1" in default(1 / (1 + np.exp(-1e6 * logits)))
    assert default(1 / (1 + np.exp(-logits))) is None


def test_a_few_rows_within_the_bounds_are_not_enough_to_tell():
    rows = softmax(RNG.normal(size=(200, 10)) * 1e5)
    rows[7] = 0.1
    assert "0.995 of the samples" in default(rows)
    rows[:20] = 0.1
    assert default(rows) is None


def test_two_classes_are_not_saturated_by_being_two():
    """Each row holds two values only, but they move."""
    assert default(softmax(RNG.normal(size=(100, 2)))) is None


def test_masks_of_integers_are_not_saturated():
    assert default(RNG.integers(0, 2, (100, 50)).astype("u1")) is None


def test_infinite_elements_are_neither_saturated_nor_constant():
    output = RNG.normal(size=(50, 10))
    output[:, 3] = -np.inf
    assert vacuity(output, SOME) is None


def test_rows_of_millions_of_elements(tmp_path):
    output = np.memmap(tmp_path / "output", "f4", "w+", shape=(6, 1 << 21))
    output[:] = RNG.normal(size=1 << 21)
    output[3] += 0.001
    tracemalloc.start()
    assert "nearly constant" in vacuity(output, Tolerance(1e-5, 1e-5))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 96 << 20  # in float64 it has 96 MB
    output[3] += 1
    assert vacuity(output, Tolerance(1e-5, 1e-5)) is None


@given(st.integers(2, 40), st.integers(2, 40), st.integers(-60, 60))
def test_the_unit_does_not_matter(rows, columns, power):
    output = np.random.default_rng(rows * columns).normal(size=(rows, columns))
    for sample in (output, output * 1e-3 + 1, np.repeat(output[:1], rows, axis=0)):
        assert (default(sample) is None) is (default(sample * 2.0**power) is None)


def test_labels():
    assert "all 50 samples got the same class, 3" in one_label(np.full(50, 3))
    assert one_label(np.array([3, 3, 4])) is None
    assert one_label(np.array([], np.int64)) is None


def test_one_sample_proves_nothing():
    assert one_label(np.array([3])) == ONE_SAMPLE
    assert one_label(np.array([3, 4])) is None
