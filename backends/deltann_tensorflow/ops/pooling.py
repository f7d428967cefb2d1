"""Pooling: maximum, average, Lp, global, unpooling; channels last."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import tensorflow as tf

from deltann.lowering.padding import Window, window
from deltann_tensorflow.call import Call
from deltann_tensorflow.ops.convolution import padded, same, spatial_of
from deltann_tensorflow.sizes import sizes
from deltann_tensorflow.table import Fn, op


def _window(call: Call) -> Window:
    return window(dict(call.node.attributes), call.get("kernel_shape"))


def _taps(win: Window, axis: int, size: int) -> Any:
    """[windows, kernel]: where the window's elements lie on an axis of a padded input of `size`."""
    count = (size - win.extent[axis]) // win.strides[axis] + 1
    return np.arange(count)[:, None] * win.strides[axis] + np.arange(win.kernel[axis]) * win.dilations[axis]


def _folded(x: Any, win: Window, fold: Fn) -> Any:
    """`fold(values, axis)` over each window of an input that is padded already, one axis of space after the other."""
    for axis, size in enumerate(x.shape.as_list()[1:-1]):
        x = fold(tf.gather(x, _taps(win, axis, size), axis=axis + 1), axis + 2)
    return x


def _native(win: Window) -> bool:
    """Whether TensorFlow's own pooling has the kernel: up to two axes, no dilation."""
    return len(win.kernel) <= 2 and set(win.dilations) == {1}


def _pooled(pool: Fn, x: Any, win: Window, padding: str) -> Any:
    if len(win.kernel) == 1:
        return tf.squeeze(pool(x[:, None], (1, *win.kernel), (1, *win.strides), padding), 1)
    return pool(x, win.kernel, win.strides, padding)


@op("MaxPool", layout="last")
def _max_pool(call: Call) -> Fn:
    win = _window(call)
    column_major, indices = bool(call.get("storage_order", 0)), call.wants(1)

    def run(x: Any) -> Any:
        space = spatial_of(call, x)
        begins, ends = win.exact(space)
        if _native(win) and not indices and same(win, space, (begins, ends)):
            return _pooled(tf.nn.max_pool2d, x, win, "SAME")
        y = padded(x, begins, ends, float("-inf") if x.dtype.is_floating else x.dtype.min)
        if indices:
            return _with_indices(y, win, space, begins, column_major)
        if _native(win):
            return _pooled(tf.nn.max_pool2d, y, win, "VALID")
        return _folded(y, win, tf.reduce_max)

    return run


def _with_indices(x: Any, win: Window, space: Sequence[int], begins: Sequence[int], column_major: bool) -> Any:
    """The maxima, and where each lies: ONNX counts through the whole tensor (batch, channels, space…)."""
    rank, whole = len(space), x.shape.as_list()[1:-1]
    batch, channels = sizes(x)[0], x.shape.as_list()[-1]
    strides = [prod(space[:i]) if column_major else prod(space[i + 1 :]) for i in range(rank)]
    position = np.zeros((1,) * (2 * rank), np.int64)
    for axis, size in enumerate(whole):
        taps = _taps(win, axis, size)
        x = tf.gather(x, taps, axis=2 * axis + 1)
        shape = [1] * (2 * rank)
        shape[2 * axis], shape[2 * axis + 1] = taps.shape
        position = position + ((taps - begins[axis]) * strides[axis]).reshape(shape)
    order = [*range(0, 2 * rank, 2), *range(1, 2 * rank, 2)]
    x = tf.transpose(x, (0, *(i + 1 for i in order[:rank]), 2 * rank + 1, *(i + 1 for i in order[rank:])))
    position = position.transpose(order)
    counts, elements = position.shape[:rank], prod(position.shape[rank:])
    x = tf.reshape(x, (batch, *counts, channels, elements))
    position = position.reshape(*counts, 1, elements)
    best = tf.argmax(x, -1)
    y = tf.gather(x, best, batch_dims=x.shape.rank - 1, axis=-1)
    where = tf.reduce_sum(tf.one_hot(best, elements, dtype=tf.int64) * position, -1)
    first = tf.range(tf.cast(batch, tf.int64), dtype=tf.int64)[:, None] * channels + np.arange(channels)
    return y, where + tf.reshape(first, (batch, *(1,) * rank, channels)) * prod(space)


@op("AveragePool", layout="last")
def _average_pool(call: Call) -> Fn:
    win, include = _window(call), bool(call.get("count_include_pad", 0))

    def run(x: Any) -> Any:
        space = spatial_of(call, x)
        pads, asked = win.exact(space), win.explicit(space)
        if _native(win):
            # By SAME TensorFlow counts what lies inside the input, as ONNX does unless told otherwise.
            if same(win, space, pads) and (not include or not any((*pads[0], *pads[1]))):
                return _pooled(tf.nn.avg_pool2d, x, win, "SAME")
            if pads == asked and (include or not any((*pads[0], *pads[1]))):
                return _pooled(tf.nn.avg_pool2d, padded(x, *pads), win, "VALID")
        total = _folded(padded(x, *pads), win, tf.reduce_sum)
        return total / tf.cast(_counts(win, space, include), x.dtype)

    return run


def _counts(win: Window, space: Sequence[int], include: bool) -> Any:
    """How many elements each window averages over: [1, windows…, 1].

    With `ceil_mode` a window may reach beyond the padding, where nothing is counted.
    """
    (begins, ends), (_, asked) = win.exact(space), win.explicit(space)
    result = np.ones((1, *(1,) * len(space), 1))
    for axis, size in enumerate(space):
        row = np.full(begins[axis] + size + max(ends[axis], asked[axis]), float(include))
        row[begins[axis] : begins[axis] + size] = 1
        row[begins[axis] + size + asked[axis] :] = 0
        counted = row[_taps(win, axis, begins[axis] + size + ends[axis])].sum(1)
        shape = [1] * (len(space) + 2)
        shape[axis + 1] = -1
        result = result * counted.reshape(shape)
    return result


@op("LpPool", layout="last")
def _lp_pool(call: Call) -> Fn:
    win, p = _window(call), call.get("p", 2)

    def run(x: Any) -> Any:
        powers = padded(tf.pow(tf.abs(x), tf.cast(p, x.dtype)), *win.exact(spatial_of(call, x)))
        return tf.pow(_folded(powers, win, tf.reduce_sum), tf.cast(1.0 / p, x.dtype))

    return run


def _space(call: Call, x: Any) -> list[int]:
    return [call.axis(axis, x.shape.rank) for axis in range(2, x.shape.rank)]


@op("GlobalAveragePool", layout="either")
def _global_average(call: Call) -> Fn:
    return lambda x: tf.reduce_mean(x, _space(call, x), True)


@op("GlobalMaxPool", layout="either")
def _global_max(call: Call) -> Fn:
    return lambda x: tf.reduce_max(x, _space(call, x), True)


@op("GlobalLpPool", layout="either")
def _global_lp(call: Call) -> Fn:
    p = call.get("p", 2)

    def run(x: Any) -> Any:
        total = tf.reduce_sum(tf.pow(tf.abs(x), tf.cast(p, x.dtype)), _space(call, x), True)
        return tf.pow(total, tf.cast(1.0 / p, x.dtype))

    return run


@op("MaxUnpool", host=(2,))
def _max_unpool(call: Call) -> Fn:
    win = _window(call)
    rank = len(win.kernel)

    def run(x: Any, indices: Any, shape: list[int] | None = None) -> Any:
        begins, ends = win.pads[:rank], win.pads[rank:]
        given = sizes(x)
        inferred = [
            (size - 1) * stride + kernel - begin - end
            for size, stride, kernel, begin, end in zip(given[2:], win.strides, win.kernel, begins, ends, strict=True)
        ]
        # Indices count through the tensor of the inferred shape; a larger output only adds zeros around it.
        full = [*given[:2], *inferred]
        flat = tf.scatter_nd(tf.reshape(indices, (-1, 1)), tf.reshape(x, (-1,)), tf.cast([prod(full)], tf.int64))
        y = tf.reshape(flat, full)
        if shape is None or list(shape) == full:
            return y
        return tf.pad(y, [(0, 0), (0, 0), *((0, want - have) for want, have in zip(shape[2:], inferred, strict=True))])

    return run
