"""Normalisation over channels, groups, axes and neighbourhoods."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from deltann.lowering.shapes import axes_of, axis_of
from deltann_tensorflow.call import Call
from deltann_tensorflow.sizes import sizes
from deltann_tensorflow.table import Fn, op


def _by_channel(call: Call, x: Any, *values: Any) -> list[Any]:
    """Vectors of one item a channel, shaped so that they broadcast against `x`."""
    if call.last or x.shape.rank < 3:
        return list(values)
    return [tf.reshape(value, (-1, *(1,) * (x.shape.rank - 2))) for value in values]


@op("BatchNormalization", layout="either")
@op("BatchNormalization", 14, layout="either")
def _batch_normalization(call: Call) -> Fn:
    epsilon, momentum = call.get("epsilon"), call.get("momentum")
    if call.get("spatial", 1) != 1:
        raise call.unsupported("spatial=0, statistics for each element")
    training = call.get("training_mode", 0)
    if not training and call.wants(1):
        raise call.unsupported("training outputs")
    fused = call.last and call.rank(0) == 4 and call.dtype(0) == call.dtype(3) == tf.float32

    def inference(x: Any, scale: Any, bias: Any, mean: Any, var: Any) -> Any:
        if fused:  # the one that TensorFlow's graph optimiser joins to a convolution
            return tf.raw_ops.FusedBatchNormV3(
                x=x, scale=scale, offset=bias, mean=mean, variance=var, epsilon=epsilon, is_training=False
            ).y
        # From opset 15 on scale and statistics may be of another floating type than the input.
        scale, bias, mean, var = _by_channel(call, x, *(tf.cast(value, x.dtype) for value in (scale, bias, mean, var)))
        return tf.nn.batch_normalization(x, mean, var, bias, scale, epsilon)

    def train(x: Any, scale: Any, bias: Any, mean: Any, var: Any) -> tuple[Any, ...]:
        channels = call.axis(1, x.shape.rank)
        now_mean, now_var = tf.nn.moments(x, [axis for axis in range(x.shape.rank) if axis != channels])
        values = _by_channel(call, x, *(tf.cast(value, x.dtype) for value in (now_mean, now_var, bias, scale)))
        running = (
            old * momentum + tf.cast(new, old.dtype) * (1 - momentum) for old, new in ((mean, now_mean), (var, now_var))
        )
        return tf.nn.batch_normalization(x, *values, epsilon), *running

    return train if training else inference


@op("InstanceNormalization", layout="either")
def _instance_normalization(call: Call) -> Fn:
    epsilon = call.get("epsilon")

    def run(x: Any, scale: Any, bias: Any) -> Any:
        mean, var = tf.nn.moments(x, [call.axis(i, x.shape.rank) for i in range(2, x.shape.rank)], keepdims=True)
        return tf.nn.batch_normalization(x, mean, var, *reversed(_by_channel(call, x, scale, bias)), epsilon)

    return run


def _by_group(call: Call, spread: bool) -> Fn:
    groups, epsilon = call.get("num_groups"), call.get("epsilon")
    stash = call.element(call.get("stash_type", 1))

    def run(x: Any, scale: Any, bias: Any) -> Any:
        shape = sizes(x)
        wide = tf.reshape(tf.cast(x, stash), (shape[0], groups, -1))
        mean, var = tf.nn.moments(wide, [2], keepdims=True)
        y = tf.cast(tf.reshape((wide - mean) * tf.math.rsqrt(var + epsilon), shape), x.dtype)
        if spread:  # opset 18 has one scale a group
            scale, bias = tf.repeat(scale, shape[1] // groups), tf.repeat(bias, shape[1] // groups)
        scale, bias = _by_channel(call, x, scale, bias)
        return y * scale + bias

    return run


@op("GroupNormalization", 18)
def _group_normalization_by_group(call: Call) -> Fn:
    return _by_group(call, spread=True)


@op("GroupNormalization", 21)
def _group_normalization(call: Call) -> Fn:
    return _by_group(call, spread=False)


@op("LayerNormalization")
def _layer_normalization(call: Call) -> Fn:
    axis, epsilon = call.get("axis"), call.get("epsilon")
    stash = call.element(call.get("stash_type", 1))

    def run(x: Any, scale: Any, bias: Any = None) -> Any:
        axes = list(range(axis_of(axis, x.shape.rank), x.shape.rank))
        wide = tf.cast(x, stash)
        mean, var = tf.nn.moments(wide, axes, keepdims=True)
        inverse = tf.math.rsqrt(var + epsilon)
        y = tf.cast((wide - mean) * inverse, x.dtype) * scale
        return (y if bias is None else y + bias), mean, inverse

    return run


@op("RMSNormalization")
def _rms_normalization(call: Call) -> Fn:
    axis, epsilon = call.get("axis"), call.get("epsilon")
    stash = call.element(call.get("stash_type", 1))

    def run(x: Any, scale: Any) -> Any:
        axes = list(range(axis_of(axis, x.shape.rank), x.shape.rank))
        wide = tf.cast(x, stash)
        y = wide * tf.math.rsqrt(tf.reduce_mean(wide * wide, axes, True) + epsilon)
        return tf.cast(y, x.dtype) * scale

    return run


@op("LpNormalization", layout="either")
def _lp_normalization(call: Call) -> Fn:
    axis, p = call.get("axis"), call.get("p")

    def run(x: Any) -> Any:
        norm = tf.norm(x, p, call.axis(axis, x.shape.rank), keepdims=True)
        return tf.math.divide_no_nan(x, norm)

    return run


@op("MeanVarianceNormalization", layout="either")
def _mean_variance_normalization(call: Call) -> Fn:
    axes = call.get("axes")

    def run(x: Any) -> Any:
        chosen = [call.axis(axis, x.shape.rank) for axis in axes_of(axes, x.shape.rank)]
        mean = tf.reduce_mean(x, chosen, True)
        variance = tf.reduce_mean(x * x, chosen, True) - mean * mean
        return (x - mean) / (tf.sqrt(variance) + 1e-9)

    return run


@op("LRN", layout="last")
def _lrn(call: Call) -> Fn:
    size, alpha, beta, bias = call.get("size"), call.get("alpha"), call.get("beta"), call.get("bias")
    before, after = (size - 1) // 2, size // 2

    def run(x: Any) -> Any:
        if x.shape.rank == 4 and size % 2 and x.dtype in (tf.float32, tf.float16):
            return tf.nn.local_response_normalization(x, before, bias, alpha / size, beta)
        channels = x.shape.as_list()[-1]
        squares = tf.pad(x * x, [*[(0, 0)] * (x.shape.rank - 1), (before, after)])
        total = sum(squares[..., i : i + channels] for i in range(size))
        return x / tf.pow(bias + alpha / size * total, tf.cast(beta, x.dtype))

    return run
