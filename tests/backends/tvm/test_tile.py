"""The arithmetic behind the schedules."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltann_tvm.tile import choose, divisors, loop_order, vector_length


@given(st.integers(1, 3000))
def test_divisors(number: int) -> None:
    found = divisors(number)
    assert found == [d for d in range(1, number + 1) if number % d == 0]


@given(st.integers(1, 500), st.sampled_from([4, 8, 16]))
def test_vectors_fit_and_divide(elements: int, lanes: int) -> None:
    length = vector_length(elements, lanes)
    assert length <= lanes
    assert elements % length == 0


@given(st.integers(2, 512), st.integers(2, 64), st.integers(2, 64), st.sampled_from([(8, 12), (16, 28)]))
def test_tiles_of_a_pointwise_convolution(channels: int, height: int, width: int, machine: tuple[int, int]) -> None:
    lanes, registers = machine
    pixels = height * width
    extents = [channels, height, width]
    tile = choose(extents, [pixels, width, 1], [[0, width, 1], [64, 0, 0]], lanes, registers)
    assert tile is not None
    assert tile.axis == 0, "the loaded pixels are used again for other channels"
    assert width % tile.width == 0
    assert height % tile.rows == 0
    assert channels % tile.repeat == 0
    assert tile.rows == 1 or tile.width == width
    vectors = -(-tile.width * tile.rows // lanes) if tile.lanes > lanes else tile.width * tile.rows // tile.lanes
    assert vectors * tile.repeat <= registers


def test_a_tile_reuses_what_it_loads() -> None:
    tile = choose([64, 28, 28], [784, 28, 1], [[0, 28, 1], [64, 0, 0]], 16, 28)
    assert tile is not None
    assert tile.lanes == 16
    assert tile.repeat > 1


def test_gathers_are_kept_small() -> None:
    tile = choose([96, 56, 56], [3136, 56, 1], [[12769, 226, 2], [9, 0, 0]], 16, 28)
    assert tile is not None
    assert tile.gathers
    assert tile.width // tile.lanes * tile.repeat <= 4


@pytest.mark.parametrize("write", [[1, 8], [16, 2]])
def test_no_tile_without_contiguous_output(write: list[int]) -> None:
    assert choose([8, 8], write, [[8, 1]], 16, 28) is None


def test_no_tile_without_axes() -> None:
    assert choose([], [], [[]], 16, 28) is None


def test_large_weights_stay_outside() -> None:
    pixels, weights = (1000, (1, 0)), (100_000, (0, 1))
    assert loop_order((7, 5), [pixels, weights]) == (1, 0)
    assert loop_order((7, 5), [(100_000, (1, 0)), (1000, (0, 1))]) == (0, 1)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=3))
def test_any_order_is_a_permutation(counts: list[int]) -> None:
    reads = [(10, tuple(place % 2 for place in range(len(counts))))]
    assert loop_order(counts, reads) in set(permutations(range(len(counts))))
