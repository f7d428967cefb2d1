"""Reductions over axes, given as an attribute or (later) as an input."""

from __future__ import annotations

from typing import Any

import torch

from deltann.lowering.shapes import axes_of
from deltann_torch.call import Call
from deltann_torch.table import Fn, op


def _exact_sum(x: Any, axes: tuple[int, ...], keep: bool) -> Any:
    return torch.sum(x, axes, keep, dtype=x.dtype)


def _mean(x: Any, axes: tuple[int, ...], keep: bool) -> Any:
    if x.is_floating_point():
        return torch.mean(x, axes, keep)
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    return torch.div(torch.sum(x, axes, keep, dtype=torch.int64), count, rounding_mode="trunc").to(x.dtype)


def _prod(x: Any, axes: tuple[int, ...], keep: bool) -> Any:
    for axis in sorted(axes, reverse=True):
        x = torch.prod(x, axis, keep, dtype=x.dtype)
    return x


def _extreme(fold: Fn, largest: bool) -> Fn:
    def run(x: Any, axes: tuple[int, ...], keep: bool) -> Any:
        if all(x.shape[axis] for axis in axes):
            return fold(x, axes, keep)
        # Nothing to choose from: the identity, which is the type's lowest or highest value.
        if x.is_floating_point():
            value: Any = float("-inf") if largest else float("inf")
        elif x.dtype == torch.bool:
            value = not largest
        else:
            value = torch.iinfo(x.dtype).min if largest else torch.iinfo(x.dtype).max
        shape = [1 if i in axes else size for i, size in enumerate(x.shape) if keep or i not in axes]
        return torch.full(shape, value, dtype=x.dtype, device=x.device)

    return run


def _l1(x: Any, axes: tuple[int, ...], keep: bool) -> Any:
    return _exact_sum(torch.abs(x), axes, keep)


def _sum_square(x: Any, axes: tuple[int, ...], keep: bool) -> Any:
    return _exact_sum(x * x, axes, keep)


def _l2(x: Any, axes: tuple[int, ...], keep: bool) -> Any:
    total = _sum_square(x, axes, keep)
    return torch.sqrt(total) if x.is_floating_point() else torch.sqrt(total.to(torch.float64)).to(x.dtype)


def _log_sum(x: Any, axes: tuple[int, ...], keep: bool) -> Any:
    return torch.log(_exact_sum(x, axes, keep)).to(x.dtype)


def _log_sum_exp(x: Any, axes: tuple[int, ...], keep: bool) -> Any:
    return torch.logsumexp(x if x.is_floating_point() else x.to(torch.float64), axes, keep).to(x.dtype)


_REDUCTIONS: dict[str, tuple[Fn, int, str]] = {
    # name: (reduction, first opset whose axes are an input, how unsigned integers are computed)
    "ReduceSum": (_exact_sum, 13, "modular"),
    "ReduceMean": (_mean, 18, "small"),
    "ReduceProd": (_prod, 18, "modular"),
    "ReduceMax": (_extreme(torch.amax, True), 18, "ordered"),
    "ReduceMin": (_extreme(torch.amin, False), 18, "ordered"),
    "ReduceL1": (_l1, 18, "modular"),
    "ReduceL2": (_l2, 18, "small"),
    "ReduceSumSquare": (_sum_square, 18, "modular"),
    "ReduceLogSum": (_log_sum, 18, "small"),
    "ReduceLogSumExp": (_log_sum_exp, 18, "small"),
}


def _enter(name: str, reduce: Fn, first: int, unsigned: str) -> None:
    @op(name, unsigned=unsigned)
    def attribute(call: Call) -> Fn:
        axes, keep = call.get("axes"), bool(call.get("keepdims", 1))
        return lambda x: _reduce(reduce, x, axes, keep)

    @op(name, first, host=(1,), unsigned=unsigned)
    def from_input(call: Call) -> Fn:
        keep, nothing = bool(call.get("keepdims", 1)), bool(call.get("noop_with_empty_axes", 0))

        def run(x: Any, axes: Any = None) -> Any:
            if not axes and nothing:
                # With no axes each element is reduced by itself: its absolute value for L1, its logarithm for LogSum.
                return _reduce(reduce, x.unsqueeze(-1), [-1], False)
            return _reduce(reduce, x, axes or None, keep)

        return run


def _reduce(reduce: Fn, x: Any, axes: Any, keep: bool) -> Any:
    if x.dim() == 0:
        return reduce(x.reshape(1), (0,), False)
    return reduce(x, axes_of(axes, x.dim()), keep)


for _name, (_fn, _first, _unsigned) in _REDUCTIONS.items():
    _enter(_name, _fn, _first, _unsigned)


@op("ArgMax", unsigned="ordered")
def _arg_max(call: Call) -> Fn:
    return _arg(call, torch.argmax)


@op("ArgMin", unsigned="ordered")
def _arg_min(call: Call) -> Fn:
    return _arg(call, torch.argmin)


def _arg(call: Call, pick: Fn) -> Fn:
    axis, keep, last = call.get("axis", 0), bool(call.get("keepdims", 1)), call.get("select_last_index", 0)

    def run(x: Any) -> Any:
        # Of equals torch picks the first, as ONNX asks; the last is the first from behind.
        if not last:
            return pick(x, axis, keepdim=keep)
        return x.shape[axis] - 1 - pick(x.flip(axis), axis, keepdim=keep)

    return run
