"""Element by element: arithmetic, comparison, logic, rounding; several inputs broadcast as numpy does."""

from __future__ import annotations

from functools import reduce
from typing import Any

import tensorflow as tf

from deltann_tensorflow.call import Call
from deltann_tensorflow.dtypes import widened
from deltann_tensorflow.table import Fn, op, plain

_UNSIGNED = (tf.uint8, tf.uint16, tf.uint32, tf.uint64)

for _name, _fn in {
    "Acos": tf.acos,
    "Acosh": tf.acosh,
    "Asin": tf.asin,
    "Asinh": tf.asinh,
    "Atan": tf.atan,
    "Atanh": tf.atanh,
    "Ceil": tf.math.ceil,
    "Cos": tf.cos,
    "Cosh": tf.cosh,
    "Erf": tf.math.erf,
    "Exp": tf.exp,
    "Floor": tf.floor,
    "IsNaN": tf.math.is_nan,
    "Log": tf.math.log,
    "Neg": tf.negative,
    "Reciprocal": tf.math.reciprocal,
    "Round": tf.round,
    "Sigmoid": tf.sigmoid,
    "Sin": tf.sin,
    "Sinh": tf.sinh,
    "Sqrt": tf.sqrt,
    "Tan": tf.tan,
    "Tanh": tf.tanh,
    "Not": tf.logical_not,
    "Add": tf.add,
    "Sub": tf.subtract,
    "Mul": tf.multiply,
    "BitwiseAnd": tf.bitwise.bitwise_and,
    "BitwiseOr": tf.bitwise.bitwise_or,
    "BitwiseXor": tf.bitwise.bitwise_xor,
    "BitwiseNot": tf.bitwise.invert,
    "Equal": tf.equal,
    "Greater": tf.greater,
    "GreaterOrEqual": tf.greater_equal,
    "Less": tf.less,
    "LessOrEqual": tf.less_equal,
    "And": tf.logical_and,
    "Or": tf.logical_or,
    "Xor": tf.math.logical_xor,
    "Where": tf.where,
}.items():
    plain(_name, _fn, layout="same")
plain("Det", tf.linalg.det)


def _div(a: Any, b: Any) -> Any:
    return tf.raw_ops.TruncateDiv(x=a, y=b) if a.dtype.is_integer else tf.divide(a, b)


def _abs(x: Any) -> Any:
    return x if x.dtype in _UNSIGNED else tf.abs(x)


def _sign(x: Any) -> Any:
    return tf.cast(x > tf.zeros([], x.dtype), x.dtype) if x.dtype in _UNSIGNED else tf.sign(x)


plain("Div", _div, layout="same")
plain("Abs", _abs, layout="same")
plain("Sign", _sign, layout="same")


@op("Mod", layout="same")
def _mod(call: Call) -> Fn:
    # fmod: the sign of the dividend, as C has it; otherwise that of the divisor, as Python has it.
    if not call.get("fmod", 0):
        return tf.math.floormod
    if call.dtype(0) in (tf.float16, tf.bfloat16):
        # The remainder of two half-precision numbers is one itself, so nothing is lost on the way.
        return lambda a, b: tf.cast(tf.truncatemod(tf.cast(a, tf.float32), tf.cast(b, tf.float32)), a.dtype)
    return widened(tf.truncatemod, tf.int8, tf.int16, tf.uint8, tf.uint16, tf.uint32)


@op("Pow", layout="same")
def _pow(call: Call) -> Fn:
    exponent = call.constant(1)
    if exponent is not None and exponent.size == 1 and exponent.item() == 2 and exponent.ndim <= (call.rank(0) or 0):
        return lambda x, _y: tf.square(x)
    return _power


def _power(x: Any, y: Any) -> Any:
    # The result has the base's type; an integer base with a fractional exponent is computed as a float.
    if x.dtype.is_floating:
        return tf.pow(x, tf.cast(y, x.dtype))
    if y.dtype.is_floating:
        return tf.cast(tf.pow(tf.cast(x, tf.float64), tf.cast(y, tf.float64)), x.dtype)
    return tf.cast(tf.pow(tf.cast(x, tf.int64), tf.cast(y, tf.int64)), x.dtype)


def _variadic(combine: Fn) -> Fn:
    return lambda *values: reduce(combine, values)


plain("Max", _variadic(tf.maximum), layout="same")
plain("Min", _variadic(tf.minimum), layout="same")
plain("Sum", _variadic(tf.add), layout="same")


@op("Mean", layout="same")
def _mean(call: Call) -> Fn:
    total, number = _variadic(tf.add), call.n_inputs
    return lambda *values: total(*values) / number


@op("BitShift", layout="same")
def _bit_shift(call: Call) -> Fn:
    left = call.get("direction") == "LEFT"
    shift = tf.bitwise.left_shift if left else tf.bitwise.right_shift

    def run(x: Any, y: Any) -> Any:
        bits = x.dtype.size * 8
        # By fewer than no bits, or by all of them or more, everything is shifted out; TensorFlow leaves that open.
        wide = tf.cast(y, tf.int64)
        inside = (wide >= 0) & (wide < bits)
        sign = x < tf.zeros([], x.dtype) if not left and x.dtype not in _UNSIGNED else tf.zeros_like(x, tf.bool)
        gone = tf.where(sign, tf.cast(-1, x.dtype) if x.dtype not in _UNSIGNED else x, tf.zeros([], x.dtype))
        return tf.where(inside, shift(x, tf.where(inside, y, tf.zeros([], y.dtype))), gone)

    return run


@op("BitCast")
def _bit_cast(call: Call) -> Fn:
    dtype = call.element(call.get("to"))
    if tf.bool in (dtype, call.dtype(0)):
        return lambda x: tf.cast(x, dtype)  # both hold nothing but 0 and 1 here
    return lambda x: tf.bitcast(x, dtype)


@op("IsInf", layout="same")
def _is_inf(call: Call) -> Fn:
    positive, negative = call.get("detect_positive", 1), call.get("detect_negative", 1)
    if positive and negative:
        return tf.math.is_inf
    if positive:
        return lambda x: tf.equal(x, tf.constant(float("inf"), x.dtype))
    if negative:
        return lambda x: tf.equal(x, tf.constant(float("-inf"), x.dtype))
    return lambda x: tf.zeros_like(x, tf.bool)


def _bounded(low: Any, high: Any) -> Fn:
    """A callable that clips between two numbers, either of them None."""
    if low == 0 and high is None:
        return tf.nn.relu
    if low == 0 and high == 6:
        return tf.nn.relu6

    def run(x: Any, *_: Any) -> Any:
        # One bound at a time: where they cross, the upper one holds.
        x = x if low is None else tf.maximum(x, tf.cast(low, x.dtype))
        return x if high is None else tf.minimum(x, tf.cast(high, x.dtype))

    return run


@op("Clip", 6, layout="same")
def _clip_attributes(call: Call) -> Fn:
    return _bounded(call.get("min"), call.get("max"))


@op("Clip", 11, layout="same")
def _clip(call: Call) -> Fn:
    floating = call.dtype(0).is_floating
    if floating and all(call.constant(i) is not None or not call.has(i) for i in (1, 2)):
        low, high = (call.constant(i).item() if call.has(i) else None for i in (1, 2))
        clip = _bounded(low, high)
        return lambda x, *_: clip(x)

    def run(x: Any, low: Any = None, high: Any = None) -> Any:
        x = x if low is None else tf.maximum(x, low)
        return x if high is None else tf.minimum(x, high)

    return run


@op("CumSum", 11, host=(1,))
def _cumsum(call: Call) -> Fn:
    return _cumulative(call, tf.cumsum)


@op("CumProd", host=(1,))
def _cumprod(call: Call) -> Fn:
    return _cumulative(call, tf.math.cumprod)


def _cumulative(call: Call, scan: Fn) -> Fn:
    exclusive, backwards = bool(call.get("exclusive", 0)), bool(call.get("reverse", 0))
    return lambda x, axis: scan(x, axis[0] if isinstance(axis, list) else axis, exclusive, backwards)
