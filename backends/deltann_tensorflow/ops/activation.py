"""Activations."""

from __future__ import annotations

from math import prod
from typing import Any

import tensorflow as tf

from deltann.lowering.shapes import axis_of
from deltann_tensorflow.call import Call
from deltann_tensorflow.sizes import sizes
from deltann_tensorflow.table import Fn, op, plain

plain("Relu", tf.nn.relu, layout="same")
plain("Softplus", tf.math.softplus, layout="same")
plain("Softsign", tf.nn.softsign, layout="same")
plain("Mish", lambda x: x * tf.tanh(tf.math.softplus(x)), layout="same")
plain("HardSwish", lambda x: x * tf.nn.relu6(x + 3) * (1 / 6), layout="same")
plain("PRelu", lambda x, slope: tf.where(x < tf.zeros([], x.dtype), x * slope, x), layout="same")


@op("LeakyRelu", layout="same")
def _leaky_relu(call: Call) -> Fn:
    alpha = call.get("alpha")
    return lambda x: tf.nn.leaky_relu(x, alpha)


@op("Elu", layout="same")
def _elu(call: Call) -> Fn:
    alpha = call.get("alpha")
    return tf.nn.elu if alpha == 1.0 else lambda x: tf.where(x > 0, x, alpha * tf.math.expm1(x))


@op("Celu", layout="same")
def _celu(call: Call) -> Fn:
    alpha = call.get("alpha")
    return lambda x: tf.where(x > 0, x, alpha * tf.math.expm1(x / alpha))


@op("Selu", layout="same")
def _selu(call: Call) -> Fn:
    alpha, gamma = call.get("alpha"), call.get("gamma")
    return lambda x: gamma * tf.where(x > 0, x, alpha * tf.math.expm1(x))


@op("ThresholdedRelu", layout="same")
def _thresholded_relu(call: Call) -> Fn:
    alpha = call.get("alpha")
    return lambda x: tf.where(x > alpha, x, tf.zeros([], x.dtype))


@op("HardSigmoid", layout="same")
def _hard_sigmoid(call: Call) -> Fn:
    alpha, beta = call.get("alpha"), call.get("beta")
    return lambda x: tf.clip_by_value(x * alpha + beta, 0.0, 1.0)


@op("Swish", layout="same")
def _swish(call: Call) -> Fn:
    alpha = call.get("alpha")
    return lambda x: x * tf.sigmoid(x if alpha == 1.0 else x * alpha)


@op("Gelu", layout="same")
def _gelu(call: Call) -> Fn:
    approximate = call.get("approximate") == "tanh"
    return lambda x: tf.nn.gelu(x, approximate)


@op("Shrink", layout="same")
def _shrink(call: Call) -> Fn:
    bias, threshold = call.get("bias"), call.get("lambd")

    def run(x: Any) -> Any:
        # An integer is compared with, and moved by, numbers that need not be whole.
        wide = x if x.dtype.is_floating else tf.cast(x, tf.float64)
        y = tf.where(wide < -threshold, wide + bias, tf.where(wide > threshold, wide - bias, tf.zeros([], wide.dtype)))
        return tf.cast(y, x.dtype)

    return run


def _along(call: Call, fn: Fn) -> Fn:
    axis, rank = call.get("axis", -1), call.rank(0)
    at = axis if rank is None else call.axis(axis, rank)
    return lambda x: fn(x, at)


def _flattened(call: Call, fn: Fn) -> Fn:
    # Before opset 13 the axes from `axis` on count as one, so that the operator acts on all of them together.
    axis = call.get("axis", 1)

    def run(x: Any) -> Any:
        rank = x.shape.rank
        at = axis_of(axis, rank) if axis != rank else axis
        if at == rank - 1:
            return fn(x, -1)
        shape = sizes(x)
        return tf.reshape(fn(tf.reshape(x, (prod(shape[:at]), prod(shape[at:]))), 1), shape)

    return run


def _hardmax(x: Any, axis: int) -> Any:
    return tf.one_hot(tf.argmax(x, axis), tf.shape(x)[axis], axis=axis, dtype=x.dtype)


def _enter(name: str, fn: Fn) -> None:
    @op(name)
    def flattened(call: Call) -> Fn:
        return _flattened(call, fn)

    @op(name, 13, layout="either")
    def along(call: Call) -> Fn:
        return _along(call, fn)


for _name, _fn in {"Softmax": tf.nn.softmax, "LogSoftmax": tf.nn.log_softmax, "Hardmax": _hardmax}.items():
    _enter(_name, _fn)
