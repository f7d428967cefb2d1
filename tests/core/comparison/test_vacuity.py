import numpy as np
import pytest

from deltann.comparison.tolerance import Tolerance
from deltann.comparison.vacuity import vacuity

SOME = Tolerance(1e-3, 1e-3)
RNG = np.random.default_rng(0)


def test_an_output_that_ignores_its_input_is_vacuous():
    row = RNG.normal(size=(1, 1000)).astype("f4")
    same = np.repeat(row, 200, axis=0)
    assert "every sample gave the same output" in vacuity(same, SOME)
    assert vacuity(same + RNG.normal(size=same.shape) * 1e-5, SOME)
    same[-1, -1] += 1  # one element of the last row is enough to tell
    assert vacuity(same, SOME) is None


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
    assert vacuity(np.full((3, 2), np.nan), SOME) is None
