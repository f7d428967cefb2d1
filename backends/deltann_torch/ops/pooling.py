"""Pooling: maximum, average, Lp, global, unpooling."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from deltann.lowering.padding import Window, window
from deltann_torch.call import Call
from deltann_torch.ops.convolution import flat
from deltann_torch.table import Fn, op

_MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def _window(call: Call) -> Window:
    kernel = call.get("kernel_shape")
    if not 1 <= len(kernel) <= 3:
        raise call.unsupported(f"{len(kernel)} spatial axes; torch pools over 1, 2 and 3")
    return window(dict(call.node.attributes), kernel)


def _plain(win: Window, sizes: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Pads with which torch's own pooling does exactly what `win` says, or None where there are none."""
    if sizes is None:
        return None
    begins, ends = win.exact(sizes)
    halves = all(begin <= kernel // 2 for begin, kernel in zip(begins, win.kernel, strict=True))
    return begins if begins == ends and halves else None


@op("MaxPool")
def _max_pool(call: Call) -> Fn:
    win = _window(call)
    pool, strides, dilations, kernel = _MAX[len(win.kernel)], win.strides, win.dilations, win.kernel
    shape = call.shape(0)
    pads = _plain(win, shape[2:] if shape else None)
    column_major, indices = bool(call.get("storage_order", 0)), call.wants(1)
    small_integer = call.dtype(0) in (torch.int8, torch.uint8)
    if pads is not None and not indices and not small_integer:
        return lambda x: pool(x, kernel, strides, pads, dilations)

    def run(x: Any) -> Any:
        sizes = tuple(x.shape[2:])
        begins, ends = win.exact(sizes)
        # 8-bit integers are exact in float32, which torch pools.
        floating = x if x.is_floating_point() else x.to(torch.float32)
        padded = F.pad(floating, flat(begins, ends), value=float("-inf"))
        if not indices:
            return pool(padded, kernel, strides, 0, dilations).to(x.dtype)
        y, where = pool(padded, kernel, strides, 0, dilations, return_indices=True)
        return y.to(x.dtype), _flat_indices(where, tuple(padded.shape[2:]), begins, sizes, column_major)

    return run


def _flat_indices(
    where: Any, padded: tuple[int, ...], begins: tuple[int, ...], sizes: tuple[int, ...], column_major: bool
) -> Any:
    """torch counts within one padded plane; ONNX counts through the whole tensor, in either order of the plane."""
    coordinates = []
    for size, begin in zip(reversed(padded), reversed(begins), strict=True):
        coordinates.append(where % size - begin)
        where = where // size
    order = list(zip(reversed(coordinates), sizes, strict=True))
    index: Any = 0
    plane = 1
    for coordinate, size in reversed(order) if column_major else order:
        index = index * size + coordinate
        plane *= size
    batch, channels = index.shape[:2]
    first = torch.arange(batch * channels, device=index.device).reshape(batch, channels, *(1,) * len(sizes))
    return index + first * plane


@op("AveragePool")
def _average_pool(call: Call) -> Fn:
    win = _window(call)
    kernel, strides, include = win.kernel, win.strides, bool(call.get("count_include_pad", 0))
    pool = _AVERAGE[len(kernel)]
    shape = call.shape(0)
    pads = _plain(win, shape[2:] if shape else None)
    # With ceil_mode a window may reach beyond the padding, where nothing is counted.
    overhang = shape is not None and win.exact(shape[2:]) != win.explicit(shape[2:])
    if pads is not None and set(win.dilations) == {1} and not overhang:
        return lambda x: pool(x, kernel, strides, pads, False, include)

    def run(x: Any) -> Any:
        sizes = tuple(x.shape[2:])
        begins, ends = win.exact(sizes)
        asked = win.explicit(sizes)
        total = _sum_pool(F.pad(x, flat(begins, ends)), win)
        counted = torch.ones(1, 1, *sizes, dtype=x.dtype, device=x.device)
        counted = F.pad(counted, flat(*asked), value=float(include))
        counted = F.pad(counted, flat([0] * len(begins), [e - a for e, a in zip(ends, asked[1], strict=True)]))
        return total / _sum_pool(counted, win)

    return run


def _sum_pool(x: Any, win: Window) -> Any:
    """The sum over each window of an input that is padded already."""
    for axis, (kernel, stride, dilation, extent) in enumerate(
        zip(win.kernel, win.strides, win.dilations, win.extent, strict=True)
    ):
        x = x.unfold(2 + axis, extent, stride)[..., ::dilation] if dilation > 1 else x.unfold(2 + axis, kernel, stride)
    return x.sum(tuple(range(-len(win.kernel), 0)))


@op("LpPool")
def _lp_pool(call: Call) -> Fn:
    win, p = _window(call), call.get("p", 2)

    def run(x: Any) -> Any:
        begins, ends = win.exact(tuple(x.shape[2:]))
        return _sum_pool(F.pad(x.abs().pow(p), flat(begins, ends)), win).pow(1.0 / p)

    return run


def _spatial(rank: int) -> tuple[int, ...]:
    return tuple(range(2, rank))


@op("GlobalAveragePool")
def _global_average(_call: Call) -> Fn:
    return lambda x: x.mean(_spatial(x.dim()), True)


@op("GlobalMaxPool")
def _global_max(_call: Call) -> Fn:
    return lambda x: x.amax(_spatial(x.dim()), True)


@op("GlobalLpPool")
def _global_lp(call: Call) -> Fn:
    p = call.get("p", 2)
    return lambda x: x.abs().pow(p).sum(_spatial(x.dim()), True).pow(1.0 / p)


@op("MaxUnpool", host=(2,))
def _max_unpool(call: Call) -> Fn:
    win = _window(call)
    rank = len(win.kernel)

    def run(x: Any, indices: Any, shape: list[int] | None = None) -> Any:
        begins, ends = win.pads[:rank], win.pads[rank:]
        inferred = [
            (size - 1) * stride + kernel - begin - end
            for size, stride, kernel, begin, end in zip(x.shape[2:], win.strides, win.kernel, begins, ends, strict=True)
        ]
        # Indices count through the tensor of the inferred shape; a larger output only adds zeros around it.
        full = [*x.shape[:2], *inferred]
        total = 1
        for size in full:
            total *= size
        y = torch.zeros(total, dtype=x.dtype, device=x.device)
        y = y.scatter(0, indices.reshape(-1), x.reshape(-1)).reshape(full)
        if shape is None or list(shape) == full:
            return y
        return F.pad(y, flat([0] * rank, [want - have for want, have in zip(shape[2:], inferred, strict=True)]))

    return run
