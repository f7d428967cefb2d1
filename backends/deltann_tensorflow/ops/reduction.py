"""Reductions over axes, given as an attribute or (later) as an input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from deltann.lowering.layout import to_first
from deltann.lowering.shapes import axes_of
from deltann_tensorflow.call import Call
from deltann_tensorflow.table import Fn, op


def _mean(x: Any, axes: Any, keep: bool) -> Any:
    if x.dtype.is_floating:
        return tf.reduce_mean(x, axes, keep)
    count = tf.reduce_prod(tf.gather(tf.shape(x, tf.int64), axes))
    total = tf.reduce_sum(tf.cast(x, tf.int64), axes, keep)
    return tf.cast(tf.raw_ops.TruncateDiv(x=total, y=count), x.dtype)


def _of_bool(fold: Fn, logical: Fn) -> Fn:
    return lambda x, axes, keep: (logical if x.dtype == tf.bool else fold)(x, axes, keep)


def _floating(fold: Fn) -> Fn:
    # The root or the logarithm of integers, cut to an integer again.
    def run(x: Any, axes: Any, keep: bool) -> Any:
        if x.dtype.is_floating:
            return fold(x, axes, keep)
        return tf.cast(fold(tf.cast(x, tf.float64), axes, keep), x.dtype)

    return run


def _sum_square(x: Any, axes: Any, keep: bool) -> Any:
    return tf.reduce_sum(x * x, axes, keep)


def _magnitude(x: Any) -> Any:
    return tf.abs(x) if x.dtype.is_floating or x.dtype in (tf.int8, tf.int16, tf.int32, tf.int64) else x


_REDUCTIONS: dict[str, tuple[Fn, int]] = {
    # name: (reduction, first opset whose axes are an input)
    "ReduceSum": (tf.reduce_sum, 13),
    "ReduceMean": (_mean, 18),
    "ReduceProd": (tf.reduce_prod, 18),
    "ReduceMax": (_of_bool(tf.reduce_max, tf.reduce_any), 18),
    "ReduceMin": (_of_bool(tf.reduce_min, tf.reduce_all), 18),
    "ReduceL1": (lambda x, axes, keep: tf.reduce_sum(_magnitude(x), axes, keep), 18),
    "ReduceL2": (_floating(lambda x, axes, keep: tf.sqrt(_sum_square(x, axes, keep))), 18),
    "ReduceSumSquare": (_sum_square, 18),
    "ReduceLogSum": (_floating(lambda x, axes, keep: tf.math.log(tf.reduce_sum(x, axes, keep))), 18),
    "ReduceLogSumExp": (_floating(tf.reduce_logsumexp), 18),
}


def _enter(name: str, reduce: Fn, first: int) -> None:
    @op(name, layout="either")
    def attribute(call: Call) -> Fn:
        axes, keep = call.get("axes"), bool(call.get("keepdims", 1))
        return lambda x: _reduce(call.last, reduce, x, axes, keep)

    @op(name, first, host=(1,), layout="either")
    def from_input(call: Call) -> Fn:
        keep, nothing = bool(call.get("keepdims", 1)), bool(call.get("noop_with_empty_axes", 0))

        def run(x: Any, axes: Any = None) -> Any:
            if not axes and nothing:
                # With no axes each element is reduced by itself: its absolute value for L1, its logarithm for LogSum.
                return reduce(x[..., None], [x.shape.rank], False)
            return _reduce(call.last, reduce, x, axes or None, keep)

        return run


def _reduce(last: bool, reduce: Fn, x: Any, axes: Any, keep: bool) -> Any:
    rank = x.shape.rank
    if rank == 0:
        return reduce(x[None], [0], False)
    chosen = axes_of(axes, rank)
    if not last:
        return reduce(x, chosen, keep)
    return kept_in_order(reduce(x, _places(chosen, rank), True), chosen, rank, keep)


def _places(axes: Sequence[int], rank: int) -> list[int]:
    return [to_first(rank)[axis] for axis in axes]


def kept_in_order(y: Any, axes: Sequence[int], rank: int, keep: bool) -> Any:
    """A channels-last tensor whose `axes` (of ONNX's layout) are of size 1; they are dropped unless `keep`."""
    return y if keep else tf.squeeze(tf.transpose(y, to_first(rank)), axes)


for _name, (_fn, _first) in _REDUCTIONS.items():
    _enter(_name, _fn, _first)


@op("ArgMax", layout="either")
def _arg_max(call: Call) -> Fn:
    return _arg(call, tf.argmax)


@op("ArgMin", layout="either")
def _arg_min(call: Call) -> Fn:
    return _arg(call, tf.argmin)


def _arg(call: Call, pick: Fn) -> Fn:
    axis, keep, backwards = call.get("axis", 0), bool(call.get("keepdims", 1)), call.get("select_last_index", 0)

    def run(x: Any) -> Any:
        rank = x.shape.rank
        (chosen,) = axes_of([axis], rank)
        at = call.axis(axis, rank)
        # Of equals TensorFlow picks the first, as ONNX asks; the last is the first from behind.
        y = pick(tf.reverse(x, [at]) if backwards else x, at)
        y = tf.shape(x, tf.int64)[at] - 1 - y if backwards else y
        if not call.last:
            return tf.expand_dims(y, at) if keep else y
        return kept_in_order(tf.expand_dims(y, at), [chosen], rank, keep)

    return run
