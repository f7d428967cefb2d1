"""Element by element: arithmetic, comparison, logic, rounding; several inputs broadcast as numpy does."""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch

from deltann_torch.call import Call
from deltann_torch.dtypes import FLOATS
from deltann_torch.table import Fn, op, plain

for _name, _fn in {
    "Acos": torch.acos,
    "Acosh": torch.acosh,
    "Asin": torch.asin,
    "Asinh": torch.asinh,
    "Atan": torch.atan,
    "Atanh": torch.atanh,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Cosh": torch.cosh,
    "Det": torch.det,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "IsNaN": torch.isnan,
    "Log": torch.log,
    "Neg": torch.neg,
    "Reciprocal": torch.reciprocal,
    "Round": torch.round,
    "Sigmoid": torch.sigmoid,
    "Sin": torch.sin,
    "Sinh": torch.sinh,
    "Sqrt": torch.sqrt,
    "Tan": torch.tan,
    "Tanh": torch.tanh,
    "Not": torch.logical_not,
}.items():
    plain(_name, _fn)

for _name, _fn in {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "BitwiseAnd": torch.bitwise_and,
    "BitwiseOr": torch.bitwise_or,
    "BitwiseXor": torch.bitwise_xor,
    "BitwiseNot": torch.bitwise_not,
}.items():
    plain(_name, _fn, unsigned="modular")

for _name, _fn in {
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
}.items():
    plain(_name, _fn, unsigned="ordered")

for _name, _fn in {"And": torch.logical_and, "Or": torch.logical_or, "Xor": torch.logical_xor}.items():
    plain(_name, _fn)
plain("Equal", torch.eq)


def _div(a: Any, b: Any) -> Any:
    if a.is_floating_point() or a.is_complex():
        return torch.div(a, b)
    return torch.div(a, b, rounding_mode="trunc")


def _abs(x: Any) -> Any:
    return x if x.dtype in (torch.uint8, torch.uint16, torch.uint32, torch.uint64) else torch.abs(x)


def _sign(x: Any) -> Any:
    return torch.where(torch.isnan(x), x, torch.sign(x)) if x.is_floating_point() else torch.sign(x)


plain("Div", _div, unsigned="small")
plain("Abs", _abs)
plain("Sign", _sign, unsigned="modular")


@op("Mod", unsigned="small")
def _mod(call: Call) -> Fn:
    # fmod: the sign of the dividend, as C has it; otherwise that of the divisor, as Python has it.
    return torch.fmod if call.get("fmod", 0) else torch.remainder


@op("Pow")
def _pow(call: Call) -> Fn:
    exponent = call.constant(1)
    if exponent is not None and exponent.numel() == 1 and call.dtype(0) in (torch.float32, torch.float64):
        value = exponent.item()
        rank = exponent.dim()
        if value in (2, 3) and rank <= len(call.shape(0) or ()):
            return lambda x, _y: torch.pow(x, int(value))
    return _power


def _power(x: Any, y: Any) -> Any:
    # The result has the base's type; an integer base with a fractional exponent is computed as a float.
    if x.is_floating_point() or not y.is_floating_point():
        return torch.pow(x, y).to(x.dtype)
    return torch.pow(x.to(torch.float64), y.to(torch.float64)).to(x.dtype)


def _variadic(combine: Fn) -> Fn:
    return lambda *values: reduce(combine, values)


@op("Max", unsigned="ordered")
def _max(_call: Call) -> Fn:
    return _variadic(torch.maximum)


@op("Min", unsigned="ordered")
def _min(_call: Call) -> Fn:
    return _variadic(torch.minimum)


@op("Sum")
def _sum(_call: Call) -> Fn:
    return _variadic(torch.add)


@op("Mean")
def _mean(call: Call) -> Fn:
    total, number = _variadic(torch.add), call.n_inputs
    return lambda *values: total(*values) / number


@op("BitShift")
def _bit_shift(call: Call) -> Fn:
    left = call.get("direction") == "LEFT"

    def run(x: Any, y: Any) -> Any:
        bits = x.element_size() * 8
        wide = torch.int64 if bits > 16 else torch.int32
        n = y.to(wide)
        if left:
            return torch.where(n < bits, x.to(wide) << n.clamp(max=bits - 1), 0).to(x.dtype)
        if x.dtype.is_signed:
            return (x.to(wide) >> n.clamp(max=bits - 1)).to(x.dtype)
        # A logical shift: after the first bit a 64-bit number is no longer negative.
        value = x.to(wide)
        if bits == 64:
            value = torch.where(n > 0, (value >> 1) & 0x7FFFFFFFFFFFFFFF, value)
            n = torch.where(n > 0, n - 1, n)
        return torch.where(n < bits, value >> n.clamp(max=bits - 1), 0).to(x.dtype)

    return run


@op("BitCast")
def _bit_cast(call: Call) -> Fn:
    dtype = call.element(call.get("to"))

    def run(x: Any) -> Any:
        if call.precision is not None and (dtype in FLOATS or x.dtype in FLOATS):
            raise call.unsupported("the bits of a floating type that precision replaces")
        return x.contiguous().view(dtype)

    return run


@op("IsInf")
def _is_inf(call: Call) -> Fn:
    positive, negative = call.get("detect_positive", 1), call.get("detect_negative", 1)
    if positive and negative:
        return torch.isinf
    if positive:
        return torch.isposinf
    return torch.isneginf if negative else (lambda x: torch.zeros_like(x, dtype=torch.bool))


@op("Clip", 6)
def _clip_attributes(call: Call) -> Fn:
    low, high = call.get("min"), call.get("max")
    return lambda x: torch.clamp(x, low, high)


@op("Clip", 11, unsigned="ordered")
def _clip(call: Call) -> Fn:
    bounds = [call.constant(i) for i in (1, 2)]
    known = all(bound is not None or not call.has(i) for i, bound in zip((1, 2), bounds, strict=True))
    if not (call.has(1) or call.has(2)):
        return lambda x, *_: x
    if known and call.dtype(0) not in (torch.uint16, torch.uint32, torch.uint64):
        low, high = (None if bound is None else bound.item() for bound in bounds)
        return lambda x, *_: torch.clamp(x, low, high)

    def run(x: Any, low: Any = None, high: Any = None) -> Any:
        # One bound at a time: where they cross, the upper one holds.
        x = x if low is None else torch.maximum(x, low)
        return x if high is None else torch.minimum(x, high)

    return run


@op("Where")
def _where(_call: Call) -> Fn:
    return torch.where


@op("CumSum", 11, host=(1,))
def _cumsum(call: Call) -> Fn:
    return _cumulative(call, torch.cumsum)


@op("CumProd", host=(1,))
def _cumprod(call: Call) -> Fn:
    return _cumulative(call, torch.cumprod)


def _cumulative(call: Call, scan: Fn) -> Fn:
    exclusive, backwards = call.get("exclusive", 0), call.get("reverse", 0)
    first = 1 if scan is torch.cumprod else 0

    def run(x: Any, axis: Any) -> Any:
        axis = axis[0] if isinstance(axis, list) else axis
        x = x.flip(axis) if backwards else x
        if exclusive:
            head = torch.full_like(x.narrow(axis, 0, 1), first)
            x = torch.cat([head, x.narrow(axis, 0, x.shape[axis] - 1)], axis)
        y = scan(x, axis, dtype=x.dtype)
        return y.flip(axis) if backwards else y

    return run
