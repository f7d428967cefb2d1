"""Constants and shapes: Constant, Shape, Reshape, Transpose, Squeeze, Expand, Tile, Range and their kin."""

from __future__ import annotations

from math import ceil, prod
from typing import Any

import numpy as np
import tensorflow as tf

from deltann.lowering.graph import dense
from deltann.lowering.shapes import axes_of, reshape
from deltann_tensorflow.call import Call
from deltann_tensorflow.dtypes import at_precision, to_tf
from deltann_tensorflow.sizes import sizes, static
from deltann_tensorflow.table import Fn, op, plain

plain("Identity", lambda x: x, layout="same")
plain("Size", lambda x: tf.size(x, tf.int64))


@op("Shape")
def _shape(call: Call) -> Fn:
    start, end = call.get("start", 0), call.get("end")

    def run(x: Any) -> Any:
        known = static(x)
        return tf.shape(x, tf.int64)[start:end] if known is None else tf.constant(known[start:end], tf.int64)

    return run


@op("Constant")
def _constant(call: Call) -> Fn:
    values = call.node.attributes
    if "sparse_value" in values:
        value: Any = dense(values["sparse_value"])
    elif "value" in values:
        value = values["value"]
    elif "value_float" in values or "value_floats" in values:
        value = np.asarray(values.get("value_float", values.get("value_floats")), np.float32)
    elif "value_int" in values or "value_ints" in values:
        value = np.asarray(values.get("value_int", values.get("value_ints")), np.int64)
    else:
        raise call.unsupported("strings")
    return lambda: to_tf(value)


@op("ConstantOfShape", host=(0,), soft=(0,))
def _constant_of_shape(call: Call) -> Fn:
    value = np.asarray(call.get("value", np.zeros(1, np.float32))).reshape(())

    def run(shape: Any) -> Any:
        fill = to_tf(value)
        return tf.fill(shape, tf.cast(fill, at_precision(fill.dtype, call.precision)))

    return run


@op("EyeLike")
def _eye_like(call: Call) -> Fn:
    dtype, k = call.get("dtype"), call.get("k", 0)

    def run(x: Any) -> Any:
        rows, columns = (tf.range(size) for size in sizes(x))
        return tf.cast(tf.equal(rows[:, None] + k, columns), call.element(dtype) if dtype else x.dtype)

    return run


@op("Range", host=(0, 1, 2), soft=(0, 1, 2))
def _range(call: Call) -> Fn:
    dtype = call.dtype(0)

    def run(start: Any, limit: Any, delta: Any) -> Any:
        if any(tf.is_tensor(value) for value in (start, limit, delta)):
            # tf.range takes neither 16-bit integers nor a limit of another type.
            wide = tf.int32 if dtype == tf.int16 else dtype
            ends = (tf.reshape(tf.cast(value, wide), []) for value in (start, limit, delta))
            return tf.cast(tf.range(*ends), dtype)
        start, limit, delta = (v[0] if isinstance(v, list) else v for v in (start, limit, delta))
        steps = np.arange(max(ceil((limit - start) / delta), 0))
        exact = dtype.as_numpy_dtype
        return tf.constant((steps.astype(exact) * exact(delta) + exact(start)).astype(exact), dtype)

    return run


@op("Reshape", 5, host=(1,), soft=(1,))
def _reshape(call: Call) -> Fn:
    allowzero = bool(call.get("allowzero", 0))

    def run(x: Any, target: Any) -> Any:
        shape = static(x)
        if shape is not None and isinstance(target, list):
            return tf.reshape(x, reshape(target, shape, allowzero))
        if isinstance(target, list):
            kept = sizes(x) if x.shape.rank is not None else tf.shape(x)
            target = [kept[i] if n == 0 and not allowzero else n for i, n in enumerate(target)]
        elif not allowzero:
            length = tf.size(target)
            known = tf.concat([tf.shape(x, tf.int64), tf.ones([length], tf.int64)], 0)[:length]
            target = tf.where(tf.equal(target, 0), known, target)
        return tf.reshape(x, target)

    return run


@op("Flatten")
def _flatten(call: Call) -> Fn:
    axis = call.get("axis", 1)

    def run(x: Any) -> Any:
        at, shape = axis + x.shape.rank if axis < 0 else axis, sizes(x)
        return tf.reshape(x, (prod(shape[:at]), prod(shape[at:])))

    return run


@op("Transpose")
def _transpose(call: Call) -> Fn:
    perm = call.get("perm")
    return lambda x: tf.transpose(x, perm)


@op("Squeeze")
def _squeeze_attribute(call: Call) -> Fn:
    axes = call.get("axes")
    return lambda x: tf.squeeze(x, axes)


@op("Squeeze", 13, host=(1,))
def _squeeze_input(_call: Call) -> Fn:
    return lambda x, axes=None: tf.squeeze(x, axes)


@op("Unsqueeze")
def _unsqueeze_attribute(call: Call) -> Fn:
    axes = call.get("axes")
    return lambda x: _unsqueeze(x, axes)


@op("Unsqueeze", 13, host=(1,))
def _unsqueeze_input(_call: Call) -> Fn:
    return _unsqueeze


def _unsqueeze(x: Any, axes: Any) -> Any:
    axes = [axes] if isinstance(axes, int) else axes  # onnx's own function bodies give a scalar at times
    for axis in sorted(axes_of(axes, x.shape.rank + len(axes))):
        x = tf.expand_dims(x, axis)
    return x


@op("Expand", 8, host=(1,), soft=(1,))
def _expand(_call: Call) -> Fn:
    def run(x: Any, shape: Any) -> Any:
        known = static(x)
        if known is not None and isinstance(shape, list):
            return tf.broadcast_to(x, np.broadcast_shapes(tuple(known), tuple(shape)))
        shape = tf.cast(shape, tf.int64)
        return tf.broadcast_to(x, tf.broadcast_dynamic_shape(tf.shape(x, tf.int64), shape))

    return run


@op("Tile", 6, host=(1,), soft=(1,))
def _tile(_call: Call) -> Fn:
    return tf.tile


@op("Trilu", host=(1,))
def _trilu(call: Call) -> Fn:
    upper = call.get("upper", 1)

    def run(x: Any, k: Any = 0) -> Any:
        k = k[0] if isinstance(k, list) else (k or 0)
        rows, columns = (tf.range(size) for size in sizes(x)[-2:])
        offset = columns - rows[:, None]
        return tf.where(offset >= k if upper else offset <= k, x, tf.zeros([], x.dtype))

    return run


@op("Dropout", 7, layout="same")
def _dropout_inference(call: Call) -> Fn:
    mask = call.wants(1)
    return lambda x: (x, tf.ones_like(x, tf.bool)) if mask else x


@op("Dropout", 12)
def _dropout(call: Call) -> Fn:
    mask, ratio = call.wants(1), call.constant(1)
    if call.has(2) and not (ratio is not None and ratio == 0):
        training = call.constant(2)
        if training is None or training:
            raise call.unsupported("training mode, whose random mask no other backend shares")

    def run(x: Any, *_: Any) -> Any:
        return (x, tf.ones_like(x, tf.bool)) if mask else x

    return run
