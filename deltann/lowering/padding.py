"""Padding arithmetic of convolutions and pooling: `auto_pad`, `ceil_mode`, output sizes.

Sources: the ONNX operator definitions of Conv, ConvTranspose, MaxPool and AveragePool. All arguments have one item for
each spatial axis; pads are ONNX's own order, all beginnings and then all ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = Sequence[int]


@dataclass(frozen=True)
class Window:
    """The attributes that slide a window: sizes of the kernel, its strides and dilations, and how it is padded."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    auto_pad: str = "NOTSET"
    ceil: bool = False

    @property
    def extent(self) -> tuple[int, ...]:
        """How far one window reaches along each axis, dilation included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def explicit(self, sizes: Ints) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The pads at the beginning and at the end of each axis for an input of these spatial sizes."""
        rank = len(self.kernel)
        if self.auto_pad == "VALID":
            return (0,) * rank, (0,) * rank
        if self.auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            totals = [
                max((-(-size // stride) - 1) * stride + extent - size, 0)
                for size, stride, extent in zip(sizes, self.strides, self.extent, strict=True)
            ]
            return split(totals, self.auto_pad)
        return self.pads[:rank], self.pads[rank:]

    def output_sizes(self, sizes: Ints) -> tuple[int, ...]:
        """The number of windows along each axis.

        With `ceil`, a last window that would start beyond the input and its beginning pad is left out.
        """
        begins, ends = self.explicit(sizes)
        result = []
        for size, begin, end, extent, stride in zip(sizes, begins, ends, self.extent, self.strides, strict=True):
            room = size + begin + end - extent
            windows = (-(-room // stride) if self.ceil else room // stride) + 1
            if self.ceil and (windows - 1) * stride >= size + begin:
                windows -= 1
            result.append(windows)
        return tuple(result)

    def exact(self, sizes: Ints) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Pads with which flooring yields `output_sizes`: the explicit ones where they do, otherwise end pads that the
        last window just reaches."""
        begins, ends = self.explicit(sizes)
        result = []
        for axis, count in enumerate(self.output_sizes(sizes)):
            size, extent, stride = sizes[axis] + begins[axis], self.extent[axis], self.strides[axis]
            fits = (size + ends[axis] - extent) // stride + 1 == count
            result.append(ends[axis] if fits else (count - 1) * stride + extent - size)
        return begins, tuple(result)


def window(attributes: dict[str, object], kernel: Ints) -> Window:
    """The window that an operator's attributes describe; what they leave out is 1 (pads: 0)."""
    rank = len(kernel)

    def ints(name: str, default: int, length: int) -> tuple[int, ...]:
        value = attributes.get(name)
        return tuple(value) if isinstance(value, list) and value else (default,) * length

    return Window(
        kernel=tuple(kernel),
        strides=ints("strides", 1, rank),
        dilations=ints("dilations", 1, rank),
        pads=ints("pads", 0, 2 * rank),
        auto_pad=str(attributes.get("auto_pad", "NOTSET")),
        ceil=bool(attributes.get("ceil_mode", 0)),
    )


def split(totals: Ints, auto_pad: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Halve each total; an odd one puts the larger half at the end (SAME_UPPER) or at the beginning (SAME_LOWER)."""
    small = tuple(total // 2 for total in totals)
    large = tuple(total - half for total, half in zip(totals, small, strict=True))
    return (large, small) if auto_pad == "SAME_LOWER" else (small, large)


def transposed(
    win: Window, sizes: Ints, output_padding: Ints, output_shape: Ints | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The pads that ConvTranspose takes away from its full output, at the beginning and at the end of each axis.

    The full output has `(size - 1) * stride + extent` items; an end pad may be negative: so many zeros are added,
    which is how `output_padding` acts.
    """
    rank = len(win.kernel)
    full = [(size - 1) * stride + extent for size, stride, extent in zip(sizes, win.strides, win.extent, strict=True)]
    wanted = tuple(output_shape) if output_shape else None
    if wanted is None and win.auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        wanted = tuple(size * stride for size, stride in zip(sizes, win.strides, strict=True))
    if wanted is not None:
        totals = [size + extra - want for size, extra, want in zip(full, output_padding, wanted[-rank:], strict=True)]
        # The specification halves the total; with output_shape alone (NOTSET) the larger half is at the beginning.
        begins, ends = split(totals, "SAME_UPPER" if win.auto_pad == "SAME_UPPER" else "SAME_LOWER")
    elif win.auto_pad == "VALID":
        begins, ends = (0,) * rank, (0,) * rank
    else:
        begins, ends = win.pads[:rank], win.pads[rank:]
    return begins, tuple(end - extra for end, extra in zip(ends, output_padding, strict=True))


def column_indices(block: Ints, dilations: Ints, strides: Ints, sizes: Ints) -> npt.NDArray[np.int64]:
    """Col2Im: the flat position, in an image of `sizes` (pads included), of each element of each placed block.

    The order is that of Col2Im's input: elements of the block first, then its placements, both row by row.
    """
    rank = len(block)
    grid = np.zeros((), np.int64)
    for k, dilation, stride, size in zip(block, dilations, strides, sizes, strict=True):
        count = (size - (k - 1) * dilation - 1) // stride + 1
        taps = np.arange(k)[:, None] * dilation + np.arange(count) * stride
        grid = grid[..., None, None] * size + taps
    return grid.transpose((*range(0, 2 * rank, 2), *range(1, 2 * rank, 2))).reshape(-1)
