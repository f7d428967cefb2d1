"""Windows: auto_pad, ceil_mode and output sizes, against counting the windows one by one."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from deltann.lowering.padding import Window, column_indices, split, transposed, window


def _window(size_kernel: int, stride: int, dilation: int, pads: tuple[int, int], auto: str, ceil: bool) -> Window:
    return Window((size_kernel,), (stride,), (dilation,), pads, auto, ceil)


windows = st.builds(
    _window,
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 3),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.just("NOTSET"),
    st.booleans(),
)


@given(windows, st.integers(13, 40))
def test_flooring_with_the_exact_pads_gives_the_output_size(win: Window, size: int) -> None:
    (begin,), (end,) = win.exact((size,))
    floored = (size + begin + end - win.extent[0]) // win.strides[0] + 1
    assert floored == win.output_sizes((size,))[0]


@given(windows, st.integers(13, 40))
def test_every_window_begins_inside_the_padded_input(win: Window, size: int) -> None:
    assume(max(win.pads) < win.extent[0])  # padding beyond the window is dropped once only, as frameworks do
    (begin, end), count = win.pads, win.output_sizes((size,))[0]
    last = (count - 1) * win.strides[0]
    if win.ceil:
        assert last < size + begin
        # One more window would begin in the end padding or beyond, or have nothing left to cover.
        assert last + win.strides[0] >= size + begin or last + win.extent[0] >= size + begin + end
    else:
        assert last + win.extent[0] <= size + begin + end < last + win.strides[0] + win.extent[0]


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(1, 40), st.sampled_from(["UPPER", "LOWER"]))
def test_same_padding_gives_one_output_a_stride(kernel: int, stride: int, dilation: int, size: int, side: str) -> None:
    win = _window(kernel, stride, dilation, (0, 0), f"SAME_{side}", False)
    assert win.output_sizes((size,)) == (-(-size // stride),)
    (begin,), (end,) = win.explicit((size,))
    assert 0 <= (end - begin if side == "UPPER" else begin - end) <= 1


def test_the_odd_pixel_goes_to_the_end_for_upper_and_to_the_beginning_for_lower() -> None:
    assert split((3,), "SAME_UPPER") == ((1,), (2,))
    assert split((3,), "SAME_LOWER") == ((2,), (1,))


def test_valid_ignores_pads() -> None:
    win = _window(3, 1, 1, (1, 1), "VALID", False)
    assert win.output_sizes((8,)) == (6,)


def test_a_ceiling_window_in_the_end_padding_is_left_out() -> None:
    # Rounding up alone would count 3, the third beginning at 4: after one pixel of padding and three of input.
    win = _window(1, 2, 1, (1, 1), "NOTSET", True)
    assert win.output_sizes((3,)) == (2,)


def test_attributes_left_out_are_one_and_zero() -> None:
    assert window({}, (3, 3)) == Window((3, 3), (1, 1), (1, 1), (0, 0, 0, 0))


@pytest.mark.parametrize("auto", ["NOTSET", "SAME_UPPER", "SAME_LOWER"])
@given(st.integers(1, 5), st.integers(1, 4), st.integers(2, 12), st.integers(0, 3), st.integers(-2, 3))
def test_transposed_pads_leave_the_wanted_output(
    auto: str, kernel: int, stride: int, size: int, extra: int, more: int
) -> None:
    full = (size - 1) * stride + kernel
    wanted = full + extra - more
    win = _window(kernel, stride, 1, (0, 0), auto, False)
    (begin,), (end,) = transposed(win, (size,), (extra,), (wanted,))
    assert full - begin - end == wanted


def test_transposed_same_multiplies_the_size_by_the_stride() -> None:
    win = _window(3, 2, 1, (0, 0), "SAME_UPPER", False)
    (begin,), (end,) = transposed(win, (5,), (0,), None)
    assert (5 - 1) * 2 + 3 - begin - end == 10
    assert (begin, end) == (0, 1)


@given(
    block=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    extra=st.tuples(st.integers(0, 4), st.integers(0, 4)),
)
def test_column_indices_place_every_element_of_every_block(
    block: tuple[int, ...], dilations: tuple[int, ...], strides: tuple[int, ...], extra: tuple[int, ...]
) -> None:
    sizes = tuple((k - 1) * d + 1 + e for k, d, e in zip(block, dilations, extra, strict=True))
    starts = [range(0, n - (k - 1) * d, s) for n, k, d, s in zip(sizes, block, dilations, strides, strict=True)]
    want = [
        (top + i * dilations[0]) * sizes[1] + left + j * dilations[1]
        for i in range(block[0])
        for j in range(block[1])
        for top in starts[0]
        for left in starts[1]
    ]
    assert column_indices(block, dilations, strides, sizes).tolist() == want
