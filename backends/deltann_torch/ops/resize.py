"""Resize and Upsample: each axis by indices and weights that are computed once, where shapes are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from deltann.lowering.resize import Sampling, output_sizes, taps
from deltann.lowering.shapes import axes_of
from deltann_torch.call import Call
from deltann_torch.table import Fn, op

Plan = list[tuple[int, Any, Any, Any]]


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


def _plan(
    sampling: Sampling, shape: Sequence[int], sizes: Sequence[int], scales: Sequence[float], roi: Sequence[float] | None
) -> Plan:
    """(axis, indices, weights or None, outside or None) for each axis that changes."""
    plan = []
    rank = len(shape)
    for axis, (size, out, scale) in enumerate(zip(shape, sizes, scales, strict=True)):
        span = (roi[axis], roi[axis + rank]) if roi else (0.0, 1.0)
        if size == out and scale == 1 and span == (0.0, 1.0):
            continue
        indices, weights, outside = taps(sampling, size, out, scale, span)
        single = weights.shape[1] == 1 and bool((weights == 1).all())
        plan.append((axis, indices, None if single else weights, outside if outside.any() else None))
    return plan


def _run(x: Any, plan: Sequence[Any], extrapolation: float) -> Any:
    # Integers are interpolated as floats and come back rounded toward zero, as a cast rounds.
    dtype = x.dtype
    weighed = any(weights is not None for _, _, weights, _ in plan)
    y = x if x.is_floating_point() or not weighed else x.to(torch.float32)
    for axis, indices, weights, outside in plan:
        y = _along(y, axis, indices, None if weights is None else weights.to(y.dtype))
        if outside is not None:
            view = [1] * x.dim()
            view[axis] = -1
            y = torch.where(outside.reshape(view), extrapolation, y)
    return y.to(dtype)


def _sampling(call: Call) -> Sampling:
    mode = {"bilinear": "linear"}.get(call.get("mode"), call.get("mode"))
    if mode not in ("nearest", "linear", "cubic"):
        raise call.unsupported(f"mode={mode}")
    # Before opset 11 there was one rule: coordinates divided by the scale, and rounded down.
    return Sampling(
        mode=mode,
        coordinates=call.get("coordinate_transformation_mode", "asymmetric"),
        nearest=call.get("nearest_mode", "floor"),
        cubic_a=call.get("cubic_coeff_a", -0.75),
        exclude_outside=bool(call.get("exclude_outside", 0)),
        antialias=bool(call.get("antialias", 0)),
        extrapolation=call.get("extrapolation_value", 0.0),
    )


def _lower(call: Call, plan: Callable[[Sequence[int], list[Any]], Plan], places: Sequence[int], outside: float) -> Fn:
    """A callable that resizes by `plan`, a function of the input's shape and of the values of the inputs `places`."""
    known = [call.constant(at) for at in places]
    shape, dtype, inputs = call.shape(0), call.dtype(0), call.n_inputs
    if shape is not None and all(k is not None or not call.has(at) for k, at in zip(known, places, strict=True)):
        steps = plan(shape, [None if value is None else value.tolist() for value in known])
        layout = [(axis, [array is not None for array in arrays]) for axis, *arrays in steps]
        call.extras += [_extra(array, dtype) for _, *arrays in steps for array in arrays if array is not None]

        def run(*args: Any) -> Any:
            rest = iter(args[inputs:])
            ready = [(axis, *(next(rest) if there else None for there in present)) for axis, present in layout]
            return _run(args[0], ready, outside)

        return run

    def dynamic(x: Any, *args: Any) -> Any:
        given = (x, *args, *(None,) * 4)
        steps = plan(tuple(x.shape), [None if given[at] is None else given[at].tolist() for at in places])
        ready = [
            (axis, *(None if array is None else _extra(array, x.dtype).to(x.device) for array in arrays))
            for axis, *arrays in steps
        ]
        return _run(x, ready, outside)

    return dynamic


def _extra(array: Any, dtype: Any) -> torch.Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if tensor.dtype != torch.float64:
        return tensor
    return tensor.to(dtype if dtype is not None and dtype.is_floating_point else torch.float32)


@op("Upsample", 7)
def _upsample_attribute(call: Call) -> Fn:
    scales, sampling = call.get("scales"), _sampling(call)

    def plan(shape: Sequence[int], _values: list[Any]) -> Plan:
        return _plan(sampling, shape, *output_sizes(shape, scales, None), None)

    return _lower(call, plan, (), 0.0)


@op("Upsample", 9)
@op("Resize", 10)
def _resize_by_scales(call: Call) -> Fn:
    sampling = _sampling(call)

    def plan(shape: Sequence[int], values: list[Any]) -> Plan:
        return _plan(sampling, shape, *output_sizes(shape, values[0], None), None)

    return _lower(call, plan, (1,), 0.0)


@op("Resize", 11)
def _resize(call: Call) -> Fn:
    sampling, policy, some = _sampling(call), call.get("keep_aspect_ratio_policy", "stretch"), call.get("axes")
    crops = sampling.coordinates == "tf_crop_and_resize"

    def plan(shape: Sequence[int], values: list[Any]) -> Plan:
        roi, scales, sizes = values
        axes, rank = axes_of(some, len(shape)), len(shape)
        # Before opset 13 an input that is not used is given as an empty tensor.
        out, ratios = output_sizes([shape[axis] for axis in axes], scales or None, sizes or None, policy)
        full_out, full_scales, full_roi = list(shape), [1.0] * rank, [0.0] * rank + [1.0] * rank
        for i, axis in enumerate(axes):
            full_out[axis], full_scales[axis] = out[i], ratios[i]
            if crops:
                full_roi[axis], full_roi[axis + rank] = roi[i], roi[i + len(axes)]
        return _plan(sampling, shape, full_out, full_scales, full_roi)

    return _lower(call, plan, (1, 2, 3) if crops else (4, 2, 3), sampling.extrapolation)
