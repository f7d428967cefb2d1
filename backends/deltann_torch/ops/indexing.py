"""Reading and writing by index: Slice, Gather, Scatter, TopK, OneHot, NonZero, Unique and their kin."""

from __future__ import annotations

from typing import Any

import torch

from deltann.lowering.shapes import axis_of, slices
from deltann_torch.call import Call
from deltann_torch.table import Fn, op


@op("Slice")
def _slice_attributes(call: Call) -> Fn:
    starts, ends, axes = call.get("starts"), call.get("ends"), call.get("axes")
    return lambda x: _slice(x, starts, ends, axes)


@op("Slice", 10, host=(1, 2, 3, 4))
def _slice_inputs(_call: Call) -> Fn:
    return _slice


def _slice(x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    for axis, (start, stop, step) in slices(x.shape, starts, ends, axes, steps).items():
        if step > 0:
            index: list[Any] = [slice(None)] * axis
            x = x[(*index, slice(start, max(stop, start), step))]
        else:
            # torch has no negative steps: the same items from below, then turned round.
            count = max(-(-(start - stop) // -step), 0)
            lowest = start + (count - 1) * step if count else 0
            x = x[(*[slice(None)] * axis, slice(lowest, start + 1 if count else 0, -step))].flip(axis)
    return x


def _positive(indices: Any, size: int) -> Any:
    return torch.where(indices < 0, indices + size, indices).to(torch.int64)


@op("Gather")
def _gather(call: Call) -> Fn:
    axis = call.get("axis", 0)
    known = call.constant(1)
    shape = call.shape(0)
    if known is not None and known.dim() == 0 and shape is not None:
        at = int(known) % shape[axis]
        return lambda x, _i: x.select(axis, at)

    def run(x: Any, indices: Any) -> Any:
        at = _positive(indices, x.shape[axis])
        if at.dim() == 1:
            return x.index_select(axis, at)
        where = axis_of(axis, x.dim())
        return x.index_select(where, at.reshape(-1)).reshape((*x.shape[:where], *at.shape, *x.shape[where + 1 :]))

    return run


@op("GatherElements", unsigned="modular")
def _gather_elements(call: Call) -> Fn:
    axis = call.get("axis", 0)
    return lambda x, indices: torch.gather(x, axis, _positive(indices, x.shape[axis]))


@op("GatherND")
def _gather_nd(call: Call) -> Fn:
    batch_dims = call.get("batch_dims", 0)

    def run(x: Any, indices: Any) -> Any:
        depth = indices.shape[-1]
        at = []
        for d in range(batch_dims):
            # The leading axes are walked together.
            view = [1] * (indices.dim() - 1)
            view[d] = indices.shape[d]
            at.append(torch.arange(indices.shape[d], device=x.device).reshape(view))
        at += [_positive(indices[..., d], x.shape[batch_dims + d]) for d in range(depth)]
        return x[tuple(torch.broadcast_tensors(*at))]

    return run


_REDUCE = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


@op("Scatter")
@op("ScatterElements", unsigned="modular")
def _scatter_elements(call: Call) -> Fn:
    axis, reduction = call.get("axis", 0), call.get("reduction", "none")

    def run(x: Any, indices: Any, updates: Any) -> Any:
        at = _positive(indices, x.shape[axis])
        if reduction == "none":
            return x.scatter(axis, at, updates)
        return x.scatter_reduce(axis, at, updates, _REDUCE[reduction])

    return run


@op("ScatterND", unsigned="modular")
def _scatter_nd(call: Call) -> Fn:
    reduction = call.get("reduction", "none")

    def run(x: Any, indices: Any, updates: Any) -> Any:
        depth = indices.shape[-1]
        flat = torch.zeros(indices.shape[:-1], dtype=torch.int64, device=x.device)
        rows = 1
        for d in range(depth):
            flat = flat * x.shape[d] + _positive(indices[..., d], x.shape[d])
            rows *= x.shape[d]
        values = x.reshape(rows, -1)
        at = flat.reshape(-1, 1).expand(-1, values.shape[1])
        new = updates.reshape(-1, values.shape[1])
        if reduction == "none":
            return values.scatter(0, at, new).reshape(x.shape)
        return values.scatter_reduce(0, at, new, _REDUCE[reduction]).reshape(x.shape)

    return run


@op("TensorScatter")
def _tensor_scatter(call: Call) -> Fn:
    axis, circular = call.get("axis", -2), call.get("mode", "linear") == "circular"

    def run(past: Any, update: Any, start: Any = None) -> Any:
        where = axis_of(axis, past.dim())
        steps = torch.arange(update.shape[where], device=past.device)
        first = torch.zeros(past.shape[0], dtype=torch.int64, device=past.device) if start is None else start
        at = first[:, None] + steps
        at = at % past.shape[where] if circular else at
        view = [1] * past.dim()
        view[0], view[where] = at.shape
        return past.scatter(where, at.reshape(view).expand(update.shape).to(torch.int64), update)

    return run


@op("TopK", 1)
def _top_k_attribute(call: Call) -> Fn:
    k, axis = call.get("k"), call.get("axis", -1)
    return lambda x: _top_k(x, k, axis, True)


@op("TopK", 10, host=(1,), unsigned="ordered")
def _top_k_input(call: Call) -> Fn:
    axis, largest = call.get("axis", -1), bool(call.get("largest", 1))
    return lambda x, k: _top_k(x, k[0] if isinstance(k, list) else k, axis, largest)


def _top_k(x: Any, k: int, axis: int, largest: bool) -> tuple[Any, Any]:
    # torch.topk leaves the order of equals open; ONNX gives the lower index first.
    values, indices = torch.sort(x, dim=axis, descending=largest, stable=True)
    return values.narrow(axis, 0, k), indices.narrow(axis, 0, k)


@op("OneHot", host=(1,))
def _one_hot(call: Call) -> Fn:
    axis = call.get("axis", -1)

    def run(indices: Any, depth: Any, values: Any) -> Any:
        depth = int(depth[0] if isinstance(depth, list) else depth)
        where = axis + indices.dim() + 1 if axis < 0 else axis
        classes = torch.arange(depth, device=indices.device).reshape(-1, *(1,) * (indices.dim() - where))
        at = indices.to(torch.int64)
        at = torch.where(at < 0, at + depth, at).unsqueeze(where)
        return torch.where(at == classes, values[1], values[0])

    return run


@op("NonZero")
def _non_zero(_call: Call) -> Fn:
    return lambda x: torch.nonzero(x if x.dim() else x.reshape(1)).t()


@op("Compress")
def _compress(call: Call) -> Fn:
    axis = call.get("axis")

    def run(x: Any, condition: Any) -> Any:
        at = torch.nonzero(condition).reshape(-1)
        return x.reshape(-1).index_select(0, at) if axis is None else x.index_select(axis, at)

    return run


@op("Unique")
def _unique(call: Call) -> Fn:
    axis, ordered = call.get("axis"), bool(call.get("sorted", 1))

    def run(x: Any) -> tuple[Any, ...]:
        flat = x.reshape(-1) if axis is None else x
        along = 0 if axis is None else axis
        values, inverse, counts = torch.unique(flat, sorted=True, return_inverse=True, return_counts=True, dim=along)
        inverse = inverse.reshape(-1)
        first = torch.full((counts.numel(),), inverse.numel(), dtype=torch.int64, device=x.device)
        positions = torch.arange(inverse.numel(), device=x.device)
        first = first.scatter_reduce(0, inverse, positions, "amin")
        if not ordered:
            order = torch.argsort(first)
            rank = torch.argsort(order)
            values, counts, first = values.index_select(along, order), counts[order], first[order]
            inverse = rank[inverse]
        return values, first, inverse, counts

    return run


@op("ReverseSequence")
def _reverse_sequence(call: Call) -> Fn:
    time, batch = call.get("time_axis", 0), call.get("batch_axis", 1)

    def run(x: Any, lengths: Any) -> Any:
        steps = torch.arange(x.shape[time], device=x.device)
        ends = lengths[:, None]
        at = torch.where(steps < ends, ends - 1 - steps, steps)
        view = [1] * x.dim()
        view[batch], view[time] = at.shape
        # The index lies [batch, time]; where time is the earlier axis it is turned.
        at = at if batch < time else at.t()
        return torch.gather(x, time, at.reshape(view).expand(x.shape))

    return run
