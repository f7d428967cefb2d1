"""Channels-last permutations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltann.lowering.layout import RANKS, axis_last, to_first, to_last


@given(st.sampled_from(RANKS), st.data())
def test_one_undoes_the_other_and_axes_follow(rank: int, data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 6), min_size=rank, max_size=rank))
    x = np.arange(np.prod(shape)).reshape(shape)
    last = x.transpose(to_last(rank))
    assert last.shape == (shape[0], *shape[2:], shape[1])
    np.testing.assert_array_equal(last.transpose(to_first(rank)), x)
    axis = data.draw(st.integers(-rank, rank - 1))
    assert last.shape[axis_last(axis, rank)] == shape[axis]


def test_the_channels_are_the_last_axis() -> None:
    assert axis_last(1, 4) == axis_last(-3, 4) == 3
    with pytest.raises(ValueError, match="axis 4 lies outside a tensor of rank 4"):
        axis_last(4, 4)
