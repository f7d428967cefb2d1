"""Convolutions of one, two and three dimensions, channels last."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import tensorflow as tf

from deltann.lowering.padding import Window, column_indices, transposed, window
from deltann_tensorflow.call import Call
from deltann_tensorflow.sizes import sizes
from deltann_tensorflow.table import Fn, op

Pads = tuple[tuple[int, ...], tuple[int, ...]]


def kernel_of(call: Call, weight: int = 1) -> tuple[int, ...]:
    """The kernel's sizes: the attribute's, or those of the weight.

    Raises:
        Unsupported: neither is known before the model runs, or the rank is not one that TensorFlow has.
    """
    kernel = call.get("kernel_shape") or (call.shape(weight) or ())[2:]
    if not kernel:
        raise call.unsupported("a kernel whose shape only the data tells")
    if not 1 <= len(kernel) <= 3:
        raise call.unsupported(f"{len(kernel)} spatial axes; TensorFlow has convolutions of 1, 2 and 3")
    return tuple(kernel)


def spatial_of(call: Call, x: Any) -> tuple[int, ...]:
    """The spatial sizes of a channels-last tensor.

    Raises:
        Unsupported: they are not all known before the model runs.
    """
    found = x.shape.as_list()[1:-1]
    if None in found:
        raise call.unsupported("padding after sizes that only the data tells")
    return tuple(found)


def padded(x: Any, begins: Sequence[int], ends: Sequence[int], value: Any = 0) -> Any:
    """A channels-last tensor padded in space; a negative pad crops."""
    if min((*begins, *ends), default=0) < 0:
        shape = sizes(x)
        slices = [slice(max(-b, 0), size - max(-e, 0)) for b, e, size in zip(begins, ends, shape[1:-1], strict=True)]
        x = x[(slice(None), *slices)]
        begins, ends = [max(b, 0) for b in begins], [max(e, 0) for e in ends]
    if not any((*begins, *ends)):
        return x
    pairs = [(0, 0), *zip(begins, ends, strict=True), (0, 0)]
    return tf.pad(x, pairs, constant_values=tf.cast(value, x.dtype))


def same(win: Window, space: Sequence[int], pads: Pads) -> bool:
    """Whether these pads are those that TensorFlow means by SAME."""
    return pads == Window(win.kernel, win.strides, win.dilations, (), "SAME_UPPER").explicit(space)


@op("Conv", layout="last")
def _conv(call: Call) -> Fn:
    win, groups = window(dict(call.node.attributes), kernel_of(call)), call.get("group", 1)
    weight = call.shape(1)
    if weight is not None and groups > 1 and weight[1] == 1 and len(set(win.strides)) == 1 and len(win.kernel) <= 2:
        call.prepare(1, lambda w: _depthwise_filter(w, groups))
        return convolution(call, win, _depthwise)
    call.prepare(1, lambda w: channels_last_filter(w, len(win.kernel)))
    return convolution(call, win, lambda *args: grouped(groups, *args))


def channels_last_filter(w: Any, axes: int | None = None) -> Any:
    """(out, in, space…) as TensorFlow takes it: (space…, in, out); `axes` of space where the rank may be unknown."""
    return tf.transpose(w, (*range(2, w.shape.rank if axes is None else axes + 2), 1, 0))


def _depthwise_filter(w: Any, groups: int) -> Any:
    # (groups · multiplier, 1, space…) to (space…, groups, multiplier)
    space = w.shape.as_list()[2:]
    w = tf.reshape(w, (groups, -1, *space))
    return tf.transpose(w, (*range(2, w.shape.rank), 0, 1))


def convolution(call: Call, win: Window, convolve: Fn) -> Fn:
    """A callable of (x, weight, bias or None) that pads as `win` says and lets `convolve` do the rest."""

    def run(x: Any, w: Any, b: Any = None, *_: Any) -> Any:
        space = spatial_of(call, x) if win.auto_pad.startswith("SAME") or any(win.pads) else ()
        begins, ends = win.explicit(space)
        if min((*begins, *ends), default=0) < 0:
            x, begins, ends = padded(x, begins, ends), (0,) * len(begins), (0,) * len(ends)
        if not any((*begins, *ends)):
            y = convolve(x, w, win.strides, win.dilations, "VALID")
        elif same(win, space, (begins, ends)):
            y = convolve(x, w, win.strides, win.dilations, "SAME")
        else:
            pairs = [[0, 0], *map(list, zip(begins, ends, strict=True)), [0, 0]]
            y = convolve(x, w, win.strides, win.dilations, pairs)
        return y if b is None else tf.nn.bias_add(y, b)

    return run


def grouped(groups: int, x: Any, w: Any, strides: Sequence[int], dilations: Sequence[int], padding: Any) -> Any:
    """A convolution in `groups`; `padding` is VALID, SAME or a pair for every axis."""
    match len(strides):
        case 1:
            padding = padding if isinstance(padding, str) else [padding[0], [0, 0], *padding[1:]]
            y = tf.nn.conv2d(x[:, None], w[None], (1, *strides), padding, dilations=(1, *dilations))
            return tf.squeeze(y, 1)
        case 2:
            return tf.nn.conv2d(x, w, strides, padding, dilations=dilations)
    if not isinstance(padding, str):
        x, padding = tf.pad(x, padding), "VALID"
    strides, dilations = (1, *strides, 1), (1, *dilations, 1)
    if groups == 1:
        return tf.nn.conv3d(x, w, strides, padding, dilations=dilations)
    parts = zip(tf.split(x, groups, -1), tf.split(w, groups, -1), strict=True)
    return tf.concat([tf.nn.conv3d(a, b, strides, padding, dilations=dilations) for a, b in parts], -1)


def _depthwise(x: Any, w: Any, strides: Sequence[int], dilations: Sequence[int], padding: Any) -> Any:
    if not isinstance(padding, str):
        # Grappler (2.21) loses the explicit pads of a depthwise convolution that it fuses, and aborts the process.
        x, padding = tf.pad(x, padding), "VALID"
    if len(strides) == 1:
        return tf.squeeze(_depthwise(x[:, None], w[None], (*strides, *strides), (1, *dilations), padding), 1)
    if set(dilations) == {1}:
        return tf.nn.depthwise_conv2d(x, w, (1, *strides, 1), padding)
    if set(strides) != {1}:
        # TensorFlow dilates or strides here, not both; a kernel spread with zeros is the same one.
        return _depthwise(x, spread(w, dilations), strides, (1, 1), padding)
    return tf.nn.depthwise_conv2d(x, w, (1, 1, 1, 1), padding, dilations=dilations)


def spread(w: Any, dilations: Sequence[int]) -> Any:
    """A filter (space…, in, out) with zeros between its elements: the same as one that is dilated."""
    for axis, dilation in enumerate(dilations):
        if dilation > 1:
            shape = w.shape.as_list()
            w = tf.expand_dims(w, axis + 1)
            pads = [(0, 0)] * w.shape.rank
            pads[axis + 1] = (0, dilation - 1)
            shape[axis] *= dilation
            w = tf.reshape(tf.pad(w, pads), shape)
            w = w[(*(slice(None),) * axis, slice(0, shape[axis] - dilation + 1))]
    return w


@op("ConvTranspose", layout="last")
def _conv_transpose(call: Call) -> Fn:
    win, groups = window(dict(call.node.attributes), kernel_of(call)), call.get("group", 1)
    rank = len(win.kernel)
    output_padding, output_shape = tuple(call.get("output_padding") or (0,) * rank), call.get("output_shape")
    # (in, out, space…) to (space…, out, in), and no dilation left.
    call.prepare(1, lambda w: spread(tf.transpose(w, (*range(2, rank + 2), 1, 0)), win.dilations))

    def run(x: Any, w: Any, b: Any = None) -> Any:
        space = spatial_of(call, x)
        begins, ends = transposed(win, space, output_padding, output_shape)
        full = [(n - 1) * stride + extent for n, stride, extent in zip(space, win.strides, win.extent, strict=True)]
        if groups == 1:
            y = _transposed(x, w, full, win.strides)
        else:
            parts = zip(tf.split(x, groups, -1), tf.split(w, groups, -1), strict=True)
            y = tf.concat([_transposed(part, filters, full, win.strides) for part, filters in parts], -1)
        # What is added at the end holds no product, so the bias comes last.
        y = padded(y, [-n for n in begins], [-n for n in ends])
        return y if b is None else tf.nn.bias_add(y, b)

    return run


def _transposed(x: Any, w: Any, full: Sequence[int], strides: Sequence[int]) -> Any:
    batch, channels = sizes(x)[0], w.shape.as_list()[-2]
    match len(full):
        case 1:
            return tf.squeeze(_transposed(x[:, None], w[None], (1, *full), (1, *strides)), 1)
        case 2:
            return tf.nn.conv2d_transpose(x, w, (batch, *full, channels), strides, "VALID")
    return tf.nn.conv3d_transpose(x, w, (batch, *full, channels), strides, "VALID")


@op("Col2Im", host=(1, 2))
def _col2im(call: Call) -> Fn:
    dilations, pads, strides = call.get("dilations"), call.get("pads"), call.get("strides")

    def run(x: Any, image: list[int], block: list[int]) -> Any:
        rank = len(image)
        d, s = dilations or [1] * rank, strides or [1] * rank
        p = pads or [0] * (2 * rank)
        begins, ends = p[:rank], p[rank:]
        whole = [n + b + e for n, b, e in zip(image, begins, ends, strict=True)]
        index = column_indices(block, d, s, whole)
        batch, columns = sizes(x)[0], x.shape.as_list()[1] // prod(block)
        values = tf.reshape(x, (batch, columns, index.size))
        # Sums what falls onto one place; the places are the first axis there.
        y = tf.math.unsorted_segment_sum(tf.transpose(values, (2, 0, 1)), index, prod(whole))
        y = tf.reshape(y, (*whole, batch, columns))
        y = y[tuple(slice(b, n - e) for b, e, n in zip(begins, ends, whole, strict=True))]
        return tf.transpose(y, (rank, rank + 1, *range(rank)))

    return run
