"""Shape arithmetic, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from deltann.lowering.shapes import axes_of, axis_of, pad_pairs, reshape, slices


@given(st.integers(1, 9), st.integers(-12, 12), st.integers(-12, 12), st.integers(-3, 3).filter(bool))
def test_slices_pick_what_python_picks(size: int, start: int, end: int, step: int) -> None:
    # A negative step from before the first item is the one case where ONNX clamps otherwise: it takes that item.
    assume(step > 0 or start >= -size)
    values = np.arange(size)
    (first, stop, by) = slices((size,), [start], [end], None, [step])[0]
    assert list(range(first, stop, by)) == values[start:end:step].tolist()


def test_a_negative_step_from_before_the_first_item_takes_it() -> None:
    assert list(range(*slices((3,), [-9], [-9], None, [-1])[0])) == [0]


def test_slices_name_the_axes_they_cut() -> None:
    assert slices((4, 5, 6), [1], [3], [-1]) == {2: (1, 3, 1)}


def test_reshape_keeps_zeros_and_infers_one() -> None:
    assert reshape((0, -1), (2, 3, 4)) == (2, 12)
    assert reshape((0, 3), (0, 3), allowzero=True) == (0, 3)
    assert reshape((0, 3), (5, 3)) == (5, 3)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_reshape_infers_as_numpy_does(shape: list[int], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(shape) - 1))
    target = [-1 if i == at else size for i, size in enumerate(shape)]
    assert reshape(target, shape) == np.zeros(shape).reshape(target).shape


def test_axes_count_from_either_end() -> None:
    assert axes_of([-1, 0], 3) == (2, 0)
    assert axes_of(None, 3) == (0, 1, 2)
    with pytest.raises(ValueError, match="axis 3 lies outside a tensor of rank 3"):
        axis_of(3, 3)


def test_pads_of_some_axes_leave_the_others() -> None:
    assert pad_pairs([1, 2, 3, 4], [2, 0], 3) == [(2, 4), (0, 0), (1, 3)]
    assert pad_pairs([1, 2, 3, 4], None, 2) == [(1, 3), (2, 4)]
