"""Taking tensors apart and putting them together: Concat, Split, Pad, DepthToSpace, SpaceToDepth, CenterCropPad."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from deltann.lowering.layout import to_last
from deltann.lowering.shapes import axes_of, pad_pairs
from deltann_tensorflow.call import Call
from deltann_tensorflow.sizes import sizes
from deltann_tensorflow.table import Fn, op


@op("Concat", layout="either")
def _concat(call: Call) -> Fn:
    axis, rank = call.get("axis"), call.rank(0)
    at = axis if rank is None else call.axis(axis, rank)
    return lambda *values: tf.concat(values, at)


@op("Split", layout="either")
def _split_attribute(call: Call) -> Fn:
    parts, split = call.get("split"), _splitter(call, call.n_outputs)
    return lambda x: split(x, parts)


@op("Split", 13, host=(1,), layout="either")
def _split_input(call: Call) -> Fn:
    return _splitter(call, call.get("num_outputs") or call.n_outputs)


def _splitter(call: Call, outputs: int) -> Fn:
    axis = call.get("axis", 0)

    def run(x: Any, parts: Any = None) -> tuple[Any, ...]:
        at = call.axis(axis, x.shape.rank)
        if not parts:
            # Equal parts; where they cannot be, the last one is the smaller.
            size = x.shape.as_list()[at]
            if size is None:
                return tuple(tf.split(x, outputs, at))
            part = -(-size // outputs)
            parts = [min(part, max(size - i * part, 0)) for i in range(outputs)]
        return tuple(tf.split(x, parts, at))

    return run


@op("Pad", layout="either")
def _pad_attribute(call: Call) -> Fn:
    mode, pads, value = call.get("mode"), call.get("pads"), call.get("value")
    return lambda x: _pad(call, x, pads, None, mode, value)


@op("Pad", 11, host=(1, 3), layout="either")
def _pad_input(call: Call) -> Fn:
    mode = call.get("mode")
    return lambda x, pads, value=None, axes=None: _pad(call, x, pads, axes, mode, 0 if value is None else value)


def _pad(call: Call, x: Any, pads: Any, axes: Any, mode: str, value: Any) -> Any:
    rank = x.shape.rank
    pairs = pad_pairs(pads, axes, rank)
    if call.last:
        pairs = [pairs[axis] for axis in to_last(rank)]
    if mode == "constant":
        if any(n < 0 for pair in pairs for n in pair):
            ends = [size + min(after, 0) for size, (_, after) in zip(sizes(x), pairs, strict=True)]
            x = x[tuple(slice(max(-before, 0), end) for (before, _), end in zip(pairs, ends, strict=True))]
            pairs = [(max(before, 0), max(after, 0)) for before, after in pairs]
        return tf.pad(x, pairs, constant_values=tf.reshape(tf.cast(value, x.dtype), []))
    for axis, (before, after) in enumerate(pairs):
        if (before, after) != (0, 0):
            size = sizes(x)[axis]
            at = tf.range(-before, size + after)
            match mode:
                case "edge":
                    at = tf.clip_by_value(at, 0, size - 1)
                case "wrap":
                    at = at % size
                case "reflect":
                    period = tf.maximum(2 * (size - 1), 1)
                    at = at % period
                    at = tf.where(at >= size, period - at, at)
            x = tf.gather(x, at, axis=axis)
    return x


@op("DepthToSpace", layout="either")
def _depth_to_space(call: Call) -> Fn:
    block, columns_first = call.get("blocksize"), call.get("mode", "DCR") == "CRD"

    def run(x: Any) -> Any:
        if call.last and not columns_first:
            return tf.nn.depth_to_space(x, block)
        if call.last:
            n, h, w, c = sizes(x)
            y = tf.transpose(tf.reshape(x, (n, h, w, c // block**2, block, block)), (0, 1, 4, 2, 5, 3))
            return tf.reshape(y, (n, h * block, w * block, c // block**2))
        n, c, h, w = sizes(x)
        if columns_first:
            y = tf.transpose(tf.reshape(x, (n, c // block**2, block, block, h, w)), (0, 1, 4, 2, 5, 3))
        else:
            y = tf.transpose(tf.reshape(x, (n, block, block, c // block**2, h, w)), (0, 3, 4, 1, 5, 2))
        return tf.reshape(y, (n, c // block**2, h * block, w * block))

    return run


@op("SpaceToDepth", layout="either")
def _space_to_depth(call: Call) -> Fn:
    block, columns_first = call.get("blocksize"), call.get("mode", "DCR") == "CRD"

    def run(x: Any) -> Any:
        if call.last and not columns_first:
            return tf.nn.space_to_depth(x, block)
        if call.last:
            n, h, w, c = sizes(x)
            y = tf.transpose(tf.reshape(x, (n, h // block, block, w // block, block, c)), (0, 1, 3, 5, 2, 4))
            return tf.reshape(y, (n, h // block, w // block, c * block**2))
        n, c, h, w = sizes(x)
        y = tf.reshape(x, (n, c, h // block, block, w // block, block))
        y = tf.transpose(y, (0, 1, 3, 5, 2, 4) if columns_first else (0, 3, 5, 1, 2, 4))
        return tf.reshape(y, (n, c * block**2, h // block, w // block))

    return run


@op("CenterCropPad", host=(1,))
def _center_crop_pad(call: Call) -> Fn:
    axes = call.get("axes")

    def run(x: Any, shape: list[int]) -> Any:
        for axis, wanted in zip(axes_of(axes, x.shape.rank), shape, strict=True):
            size = x.shape.as_list()[axis]
            before = abs(size - wanted) // 2
            if size > wanted:
                x = x[(*(slice(None),) * axis, slice(before, before + wanted))]
            elif size < wanted:
                pads = [(0, 0)] * x.shape.rank
                pads[axis] = (before, wanted - size - before)
                x = tf.pad(x, pads)
        return x

    return run
