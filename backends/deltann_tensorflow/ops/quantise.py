"""Linear quantisation, and the integer products of quantised models."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from deltann.lowering.padding import window
from deltann_tensorflow.call import Call
from deltann_tensorflow.ops.cast import cast
from deltann_tensorflow.ops.convolution import channels_last_filter, convolution, grouped, kernel_of
from deltann_tensorflow.ops.linear import matmul
from deltann_tensorflow.table import Fn, op


def _spread(call: Call, parameter: Any, x: Any, axis: int, block: int) -> Any:
    """A scale or zero point in a shape that broadcasts with `x`: one in all, one a place of `axis`, or one a block."""
    if parameter is None or parameter.shape.rank == 0:
        return parameter
    if not parameter.shape.is_fully_defined() or x.shape.rank is None:
        raise call.unsupported("scales whose shape only the data tells")
    if parameter.shape.num_elements() == 1:
        return tf.reshape(parameter, [])
    at = call.axis(axis, x.shape.rank)
    if parameter.shape.rank == 1 and not block:
        view = [1] * x.shape.rank
        view[at] = -1
        return tf.reshape(parameter, view)
    places = tf.range(tf.shape(x)[at]) // block
    return tf.gather(_countable(parameter), places, axis=at)


def _countable(x: Any) -> Any:
    # TensorFlow stores integers of 4 bits, and does little else with them.
    return tf.cast(x, tf.int32) if x.dtype.is_integer else x


def _rounded(x: Any, zero: Any, dtype: Any) -> Any:
    """round(x) + zero, rounded half to even and saturated to the integers `dtype`."""
    y = tf.round(x)
    if zero is not None:
        y = y + tf.cast(_countable(zero), y.dtype)
    bounded = tf.clip_by_value(y, tf.cast(float(dtype.min), y.dtype), tf.cast(float(dtype.max), y.dtype))
    return tf.cast(tf.cast(bounded, tf.int32), dtype)


@op("QuantizeLinear", layout="either")
def _quantize(call: Call) -> Fn:
    axis, block, saturate = call.get("axis", 1), call.get("block_size", 0), bool(call.get("saturate", 1))
    element, declared = call.get("output_dtype", 0), call.get("precision", 0)
    if not element and not call.has(2):
        element = 2  # uint8
    wanted = call.element(element) if element else None
    precision = call.element(declared) if declared else None

    def run(x: Any, scale: Any, zero: Any = None) -> Any:
        dtype: Any = wanted if zero is None else zero.dtype
        computed = precision or scale.dtype
        y = tf.cast(x, computed) / tf.cast(_spread(call, scale, x, axis, block), computed)
        if dtype.is_floating:
            return cast(dtype, saturate)(y)
        return _rounded(y, _spread(call, zero, x, axis, block), dtype)

    return run


@op("DequantizeLinear", layout="either")
def _dequantize(call: Call) -> Fn:
    axis, block, element = call.get("axis", 1), call.get("block_size", 0), call.get("output_dtype", 0)
    wanted = call.element(element) if element else None

    def run(x: Any, scale: Any, zero: Any = None) -> Any:
        s, z = _spread(call, scale, x, axis, block), _spread(call, zero, x, axis, block)
        if x.dtype.is_integer:
            # The difference is exact in int32 for 8 and 16 bits, and wraps for 32 bits as the reference does.
            x = tf.cast(x, tf.int32) if z is None else tf.cast(x, tf.int32) - _countable(z)
        return tf.cast(tf.cast(x, s.dtype) * s, wanted or s.dtype)

    return run


@op("DynamicQuantizeLinear")
def _dynamic_quantize(_call: Call) -> Fn:
    def run(x: Any) -> tuple[Any, ...]:
        low, high = tf.minimum(tf.reduce_min(x), 0), tf.maximum(tf.reduce_max(x), 0)
        scale = (high - low) / 255
        zero = _rounded((0 - low) / scale, None, tf.uint8)
        return _rounded(x / scale, zero, tf.uint8), scale, zero

    return run


def _shifted(x: Any, zero: Any, axis: int | None = None) -> Any:
    """`x` minus its zero point, as float64, in which every product and sum of 8-bit integers is exact."""
    x = tf.cast(x, tf.float64)
    return x if zero is None else x - _along(tf.cast(zero, tf.float64), axis, x.shape.rank)


def _along(parameter: Any, axis: int | None, rank: int) -> Any:
    """A vector laid along `axis` of a tensor of `rank`; what is one number, as such."""
    if parameter.shape.num_elements() == 1:
        return tf.reshape(parameter, [])
    if parameter.shape.rank != 1 or axis is None:
        return parameter
    view = [1] * rank
    view[axis] = -1
    return tf.reshape(parameter, view)


@op("MatMulInteger")
def _matmul_integer(_call: Call) -> Fn:
    def run(a: Any, b: Any, a_zero: Any = None, b_zero: Any = None) -> Any:
        return tf.cast(matmul(_shifted(a, a_zero, -2), _shifted(b, b_zero, -1)), tf.int32)

    return run


@op("QLinearMatMul")
def _qlinear_matmul(_call: Call) -> Fn:
    def run(a: Any, a_scale: Any, a_zero: Any, b: Any, b_scale: Any, b_zero: Any, y_scale: Any, y_zero: Any) -> Any:
        product = matmul(_shifted(a, a_zero, -2), _shifted(b, b_zero, -1))
        rank = product.shape.rank
        factor = _along(a_scale, -2, rank) * _along(b_scale, -1, rank) / _along(y_scale, -2, rank)
        return _rounded(product * tf.cast(factor, tf.float64), _along(y_zero, -2, rank), y_zero.dtype)

    return run


def _convolution(call: Call, weight: int) -> Fn:
    """A callable of channels-last `x`, of the weight as the node has it, and of a bias, all float64."""
    groups = call.get("group", 1)
    win = window(dict(call.node.attributes), kernel_of(call, weight))
    conv = convolution(call, win, lambda *args: grouped(groups, *args))
    return lambda x, w, b=None: conv(x, channels_last_filter(w), b)


@op("ConvInteger", layout="last")
def _conv_integer(call: Call) -> Fn:
    conv = _convolution(call, 1)

    def run(x: Any, w: Any, x_zero: Any = None, w_zero: Any = None) -> Any:
        return tf.cast(conv(_shifted(x, x_zero), _shifted(w, w_zero, 0)), tf.int32)

    return run


@op("QLinearConv", layout="last")
def _qlinear_conv(call: Call) -> Fn:
    conv = _convolution(call, 3)

    def run(
        x: Any, x_scale: Any, x_zero: Any, w: Any, w_scale: Any, w_zero: Any, y_scale: Any, y_zero: Any, b: Any = None
    ) -> Any:
        bias = None if b is None else tf.cast(b, tf.float64)
        y = conv(_shifted(x, x_zero), _shifted(w, w_zero, 0), bias)
        factor = _along(x_scale * w_scale / y_scale, -1, y.shape.rank)
        return _rounded(y * tf.cast(factor, tf.float64), _along(y_zero, None, 0), y_zero.dtype)

    return run
