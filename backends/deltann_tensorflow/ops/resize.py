"""Resize and Upsample: each axis by indices and weights that are computed once, when the graph is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from deltann.lowering.resize import Step, plan
from deltann_tensorflow.call import Call
from deltann_tensorflow.ops.indexing import shape_of
from deltann_tensorflow.table import Fn, op


def _along(x: Any, step: Step) -> Any:
    """One axis of `x` sampled anew."""
    if step.weights is None:
        return tf.gather(x, step.indices[:, 0], axis=step.axis)
    y: Any = None
    for tap in range(step.indices.shape[1]):
        weights = tf.constant(_column(step.weights[:, tap], x, step.axis), x.dtype)
        part = tf.gather(x, step.indices[:, tap], axis=step.axis) * weights
        y = part if y is None else y + part
    return y


def _column(values: Any, x: Any, axis: int) -> Any:
    view = [1] * x.shape.rank
    view[axis] = -1
    return np.reshape(values, view)


def _run(x: Any, steps: Sequence[Step], extrapolation: float) -> Any:
    # Integers are interpolated as floats and come back rounded toward zero, as a cast rounds.
    weighed = any(step.weights is not None for step in steps)
    y = x if x.dtype.is_floating or not weighed else tf.cast(x, tf.float32)
    for step in steps:
        y = _along(y, step)
        if step.outside is not None:
            y = tf.where(_column(step.outside, y, step.axis), tf.cast(extrapolation, y.dtype), y)
    return tf.cast(y, x.dtype)


def _planned(call: Call, shape: Sequence[int], *values: Any) -> list[Step]:
    """The steps for an input of `shape`, in ONNX's layout, with their axes as the callable's tensors have them."""
    steps = plan(call.node.attributes, shape, *values)
    return [replace(step, axis=call.axis(step.axis, len(shape))) for step in steps]


def _lower(call: Call, roi: int, scales: int, given: int, fixed: Sequence[float] | None = None) -> Fn:
    """A callable that resizes by the values of the inputs at those places (one that is not there: no such value);
    `fixed` are scales that an attribute gives."""
    extrapolation, shape, places = call.get("extrapolation_value", 0.0), call.shape(0), (roi, scales, given)
    known = [None if (value := call.constant(at)) is None else value.tolist() for at in places]
    late = any(value is None and call.has(at) for value, at in zip(known, places, strict=True))
    if shape is not None and not late:
        steps = _planned(call, shape, known[0], fixed or known[1], known[2])
        return lambda x, *_: _run(x, steps, extrapolation)

    def run(x: Any, *rest: Any) -> Any:
        held = shape_of(call, x)
        size = [held[call.axis(axis, len(held))] for axis in range(len(held))]
        values = [rest[at - 1] if at <= len(rest) else None for at in places]
        return _run(x, _planned(call, size, values[0], fixed or values[1], values[2]), extrapolation)

    return run


_ABSENT = 4
"""A place beyond every input."""


@op("Upsample", 7, layout="either")
def _upsample_attribute(call: Call) -> Fn:
    return _lower(call, _ABSENT, _ABSENT, _ABSENT, call.get("scales"))


@op("Upsample", 9, host=(1,), layout="either")
@op("Resize", 10, host=(1,), layout="either")
def _resize_by_scales(call: Call) -> Fn:
    return _lower(call, _ABSENT, 1, _ABSENT)


@op("Resize", 11, host=(1, 2, 3), layout="either")
def _resize(call: Call) -> Fn:
    # The region counts where it crops; elsewhere it need not be known.
    crops = call.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    return _lower(call, 1 if crops else _ABSENT, 2, 3)
