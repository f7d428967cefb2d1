"""Matrix products."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from deltann_tensorflow.call import Call
from deltann_tensorflow.dtypes import widened
from deltann_tensorflow.table import Fn, op, plain

# Integers that TensorFlow multiplies no matrices of.
_LACKING = (tf.int8, tf.uint8, tf.uint16, tf.uint32, tf.uint64)


def matmul(a: Any, b: Any) -> Any:
    """numpy's matmul: a vector counts as a row on the left and as a column on the right."""
    row, column = a.shape.rank == 1, b.shape.rank == 1
    y = tf.matmul(a[None] if row else a, b[:, None] if column else b)
    y = tf.squeeze(y, -1) if column else y
    return tf.squeeze(y, -1 if column else -2) if row else y


plain("MatMul", widened(matmul, *_LACKING))


@op("Gemm")
def _gemm(call: Call) -> Fn:
    alpha, beta = call.get("alpha"), call.get("beta")
    transpose_a, transpose_b = bool(call.get("transA")), bool(call.get("transB"))
    multiply = widened(lambda a, b: tf.matmul(a, b, transpose_a, transpose_b), *_LACKING)

    # Fused with the product of a transposed matrix, TensorFlow 2.21 (oneDNN) takes a bias of one axis only.
    bias = call.shape(2)
    if bias is not None and len(bias) == 2 and bias[0] == 1:
        call.prepare(2, lambda c: tf.reshape(c, (-1,)))

    def scaled(value: Any, factor: float) -> Any:
        # Integers stay integers: a factor of one is left out rather than multiplied in.
        if factor == 1.0:
            return value
        if value.dtype.is_floating:
            return value * factor
        return tf.cast(tf.cast(value, tf.float64) * factor, value.dtype)

    def run(a: Any, b: Any, c: Any = None) -> Any:
        y = scaled(multiply(a, b), alpha)
        if c is None:
            return y
        c = tf.broadcast_to(c, tf.shape(y)) if transpose_a and bias is None else c
        return y + scaled(c, beta)

    return run


@op("Einsum")
def _einsum(call: Call) -> Fn:
    equation = call.get("equation").replace(" ", "")
    return lambda *operands: tf.einsum(equation, *operands)
