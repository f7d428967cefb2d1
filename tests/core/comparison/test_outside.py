"""How many samples are off: by hand, beside the plain formula, and beside what `numeric_error` counts of elements."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from deltann.comparison import outside
from deltann.comparison.numeric import numeric_error
from deltann.comparison.outside import samples_outside
from deltann.comparison.tolerance import Tolerance

TOLERANCE = Tolerance(0.1, 0.01)
INF, NAN = np.inf, np.nan


@pytest.mark.parametrize(
    ("a", "b", "count"),
    [
        ([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]], 0),
        ([[1.0, 2.0], [3.0, 4.0]], [[1.1, 2.2], [3.3, 4.4]], 0),
        ([[1.0, 2.0], [3.0, 5.0]], [[1.0, 2.0], [3.0, 4.0]], 1),
        ([[9.0, 9.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]], 1),
        ([[9.0, 2.0], [3.0, 9.0]], [[1.0, 2.0], [3.0, 4.0]], 2),
        ([[NAN, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]], 1),
        ([[1.0, 2.0], [3.0, 4.0]], [[1.0, INF], [3.0, 4.0]], 1),
        ([[NAN, 2.0], [3.0, 4.0]], [[NAN, 2.0], [3.0, 4.0]], 1),
        ([[INF, 2.0], [3.0, -INF]], [[INF, 2.0], [3.0, INF]], 2),
    ],
)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_by_hand(a, b, count, dtype):
    assert samples_outside(np.array(a, dtype), np.array(b, dtype), TOLERANCE) == count


def test_integers_are_subtracted_exactly():
    a, b = np.array([[2**63, 5], [7, 7]], "u8"), np.array([[2**63 - 1, 5], [7, 7]], "u8")
    assert samples_outside(a, b, Tolerance(0, 0)) == 1
    assert samples_outside(a, b, Tolerance(0, 1)) == 0
    assert samples_outside(np.array([[True], [False]]), np.array([[False], [False]]), Tolerance(0, 0)) == 1


@given(st.data())
def test_it_is_the_formula_however_large_the_pieces(data):
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 3)))
    values = arrays.arrays(np.float32, shape, elements=st.floats(-4, 4, width=32))
    a, b = data.draw(values), data.draw(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outside, "PIECE", data.draw(st.integers(1, 20)))
        found = samples_outside(a, b, TOLERANCE)
    x, y = a.astype("f8"), b.astype("f8")
    assert found == (np.abs(x - y) > np.abs(y) * 0.1 + 0.01).any(axis=(1, 2)).sum()
    assert (found > 0) is (numeric_error(a, b, TOLERANCE).outside > 0)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="the shapes are"):
        samples_outside(np.zeros((2, 3)), np.zeros((2, 4)), TOLERANCE)
