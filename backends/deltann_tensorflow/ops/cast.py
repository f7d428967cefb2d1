"""Conversions between element types."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from deltann_tensorflow.call import Call
from deltann_tensorflow.dtypes import FLOATS
from deltann_tensorflow.table import Fn, op

_FLOAT8 = {
    # name: the largest number
    "float8_e4m3fn": 448.0,
    "float8_e5m2": 57344.0,
}
_INT4 = ("int4", "uint4")


def _wide(x: Any) -> Any:
    """Storage formats as types that TensorFlow casts to any other."""
    if x.dtype.name in _FLOAT8:
        return tf.cast(x, tf.float32)
    return tf.cast(x, tf.int8) if x.dtype.name in _INT4 else x


def cast(dtype: Any, saturate: bool = True) -> Fn:
    """A callable that converts to `dtype` by ONNX's rules; `saturate` bounds what 8-bit floats cannot hold."""
    if dtype.name in _INT4:
        # TensorFlow goes there from whole numbers only, and wraps as ONNX does.
        return lambda x, *_: tf.cast(x if x.dtype.is_integer else tf.cast(_wide(x), tf.int8), dtype)
    if dtype.name not in _FLOAT8:
        return lambda x, *_: tf.cast(_wide(x) if not dtype.is_floating or x.dtype.name in _INT4 else x, dtype)
    top = _FLOAT8[dtype.name]

    def run(x: Any, *_: Any) -> Any:
        x = x if x.dtype in FLOATS else tf.cast(_wide(x), tf.float32)
        if saturate:
            limit = tf.cast(top, x.dtype)
            return tf.cast(tf.where(tf.math.is_nan(x), x, tf.clip_by_value(x, -limit, limit)), dtype)
        return tf.cast(x, dtype)

    return run


@op("Cast", layout="same")
def _cast(call: Call) -> Fn:
    return cast(call.element(call.get("to")), bool(call.get("saturate", 1)))


@op("CastLike")
def _cast_like(call: Call) -> Fn:
    return cast(call.dtype(1), bool(call.get("saturate", 1)))
