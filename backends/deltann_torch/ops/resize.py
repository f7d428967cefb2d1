"""Resize and Upsample: each axis by indices and weights that are computed once, where shapes are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from deltann.lowering.resize import Step, plan
from deltann_torch.call import Call
from deltann_torch.table import Fn, op


def _along(x: Any, axis: int, indices: Any, weights: Any) -> Any:
    """One axis of `x` sampled at `indices` with `weights`, both [out, taps]; no weights: the sample itself."""
    if weights is None:
        return x.index_select(axis, indices[:, 0])
    view = [1] * x.dim()
    view[axis] = -1
    y: Any = None
    for tap in range(indices.shape[1]):
        part = x.index_select(axis, indices[:, tap]) * weights[:, tap].reshape(view)
        y = part if y is None else y + part
    return y


def _run(x: Any, plan: Sequence[Any], extrapolation: float, floating: torch.dtype) -> Any:
    # Integers are interpolated as `floating` and come back rounded toward zero, as a cast rounds.
    dtype = x.dtype
    weighed = any(weights is not None for _, _, weights, _ in plan)
    y = x if x.is_floating_point() or not weighed else x.to(floating)
    for axis, indices, weights, outside in plan:
        y = _along(y, axis, indices, None if weights is None else weights.to(y.dtype))
        if outside is not None:
            view = [1] * x.dim()
            view[axis] = -1
            y = torch.where(outside.reshape(view), extrapolation, y)
    return y.to(dtype)


def _arrays(step: Step) -> list[Any]:
    return [step.indices, step.weights, step.outside]


def _lower(call: Call, roi: int, scales: int, sizes: int, fixed: Sequence[float] | None = None) -> Fn:
    """A callable that resizes by the values of the inputs at those places (one that is not there: no such value);
    `fixed` are scales that an attribute gives."""
    attributes, places = dict(call.node.attributes), (roi, scales, sizes)
    outside = call.get("extrapolation_value", 0.0)
    shape, dtype, inputs = call.shape(0), call.dtype(0), call.n_inputs
    floating = torch.float64 if call.precision == torch.float64 else torch.float32

    def planned(size: Sequence[int], values: Sequence[Any]) -> list[Step]:
        given = [None if value is None else value.tolist() for value in values]
        return plan(attributes, size, given[0], fixed or given[1], given[2])

    known = [call.constant(at) for at in places]
    if shape is not None and all(k is not None or not call.has(at) for k, at in zip(known, places, strict=True)):
        steps = planned(shape, known)
        layout = [(step.axis, [array is not None for array in _arrays(step)]) for step in steps]
        call.extras += [
            _extra(array, dtype, floating) for step in steps for array in _arrays(step) if array is not None
        ]

        def run(*args: Any) -> Any:
            rest = iter(args[inputs:])
            ready = [(axis, *(next(rest) if there else None for there in present)) for axis, present in layout]
            return _run(args[0], ready, outside, floating)

        return run

    def dynamic(*args: Any) -> Any:
        x = args[0]
        steps = planned(tuple(x.shape), [args[at] if at < len(args) else None for at in places])
        ready = [
            (step.axis, *(None if a is None else _extra(a, x.dtype, floating).to(x.device) for a in _arrays(step)))
            for step in steps
        ]
        return _run(x, ready, outside, floating)

    return dynamic


def _extra(array: Any, dtype: Any, floating: torch.dtype) -> torch.Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if tensor.dtype != torch.float64:
        return tensor
    return tensor.to(dtype if dtype is not None and dtype.is_floating_point else floating)


_ABSENT = 4
"""A place beyond every input."""


@op("Upsample", 7)
def _upsample_attribute(call: Call) -> Fn:
    return _lower(call, _ABSENT, _ABSENT, _ABSENT, call.get("scales"))


@op("Upsample", 9)
@op("Resize", 10)
def _resize_by_scales(call: Call) -> Fn:
    return _lower(call, _ABSENT, 1, _ABSENT)


@op("Resize", 11)
def _resize(call: Call) -> Fn:
    # The region counts where it crops; elsewhere it need not be known.
    crops = call.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    return _lower(call, 1 if crops else _ABSENT, 2, 3)
