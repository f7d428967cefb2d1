"""Convolutions of one, two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from deltann.lowering.padding import Window, column_indices, transposed, window
from deltann_torch.call import Call
from deltann_torch.table import Fn, op

_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def kernel_of(call: Call, weight: int = 1) -> tuple[int, ...]:
    """The kernel's sizes: the attribute's, or those of the weight.

    Raises:
        Unsupported: neither is known before the model runs, or the rank is not one that torch has.
    """
    kernel = call.get("kernel_shape") or (call.shape(weight) or ())[2:]
    if not kernel:
        raise call.unsupported("a kernel whose shape only the data tells")
    if not 1 <= len(kernel) <= 3:
        raise call.unsupported(f"{len(kernel)} spatial axes; torch has convolutions of 1, 2 and 3")
    return tuple(kernel)


def flat(begins: Sequence[int], ends: Sequence[int]) -> list[int]:
    """Pads as `torch.nn.functional.pad` takes them: the last axis first, its beginning and its end."""
    return [n for pair in zip(reversed(begins), reversed(ends), strict=True) for n in pair]


def convolution(call: Call, win: Window, groups: int) -> Fn:
    """A callable of (x, weight, bias or None) that convolves as `win` says."""
    conv = _CONV[len(win.kernel)]
    strides, dilations = win.strides, win.dilations
    shape = call.shape(0)
    if shape is not None or win.auto_pad in ("NOTSET", "VALID"):
        begins, ends = win.explicit(shape[2:] if shape is not None else ())
        if begins == ends:
            return lambda x, w, b=None, *_: conv(x, w, b, strides, begins, dilations, groups)
        # One side padded further than the other: what is over goes before the convolution.
        pads = flat(begins, ends)
        return lambda x, w, b=None, *_: conv(F.pad(x, pads), w, b, strides, 0, dilations, groups)

    def run(x: Any, w: Any, b: Any = None, *_: Any) -> Any:
        begins, ends = win.explicit(tuple(x.shape[2:]))
        return conv(F.pad(x, flat(begins, ends)), w, b, strides, 0, dilations, groups)

    return run


@op("Conv")
def _conv(call: Call) -> Fn:
    return convolution(call, window(dict(call.node.attributes), kernel_of(call)), call.get("group", 1))


@op("ConvTranspose")
def _conv_transpose(call: Call) -> Fn:
    win = window(dict(call.node.attributes), kernel_of(call))
    rank, groups = len(win.kernel), call.get("group", 1)
    conv = _TRANSPOSED[rank]
    output_padding = tuple(call.get("output_padding") or (0,) * rank)
    output_shape = call.get("output_shape")
    symmetric = win.pads[:rank] == win.pads[rank:]
    extra_fits = all(o < max(s, d) for o, s, d in zip(output_padding, win.strides, win.dilations, strict=True))
    if win.auto_pad == "NOTSET" and not output_shape and symmetric and extra_fits:
        begins = win.pads[:rank]
        return lambda x, w, b=None: conv(x, w, b, win.strides, begins, output_padding, groups, win.dilations)

    def run(x: Any, w: Any, b: Any = None) -> Any:
        begins, ends = transposed(win, tuple(x.shape[2:]), output_padding, output_shape)
        y = conv(x, w, None, win.strides, 0, 0, groups, win.dilations)
        # A negative pad crops. What is added at the end holds no product, so the bias comes last.
        y = F.pad(y, flat([-n for n in begins], [-n for n in ends]))
        return y if b is None else y + b.reshape(-1, *(1,) * rank)

    return run


@op("Col2Im", host=(1, 2))
def _col2im(call: Call) -> Fn:
    dilations, pads, strides = call.get("dilations"), call.get("pads"), call.get("strides")

    def run(x: Any, image: list[int], block: list[int]) -> Any:
        rank = len(image)
        d, s = dilations or [1] * rank, strides or [1] * rank
        p = pads or [0] * (2 * rank)
        begins, ends = p[:rank], p[rank:]
        padded = [n + b + e for n, b, e in zip(image, begins, ends, strict=True)]
        # Each column is one placement of the block; add every one of its elements where it belongs.
        index = torch.as_tensor(column_indices(block, d, s, padded), device=x.device)
        total = 1
        for size in padded:
            total *= size
        values = x.reshape(x.shape[0], -1, index.numel())
        y = torch.zeros(*values.shape[:2], total, dtype=x.dtype, device=x.device)
        y = y.index_add(2, index, values).reshape(*values.shape[:2], *padded)
        return F.pad(y, flat([-n for n in begins], [-n for n in ends]))

    return run
