"""Linear quantisation, and the integer products of quantised models."""

from __future__ import annotations

from typing import Any

import torch

from deltann.lowering.padding import window
from deltann.lowering.shapes import axis_of
from deltann_torch.call import Call
from deltann_torch.ops.convolution import convolution, kernel_of
from deltann_torch.ops.shape import cast
from deltann_torch.table import Fn, op


def _spread(parameter: Any, x: Any, axis: int, block: int) -> Any:
    """A scale or zero point in a shape that broadcasts with `x`: one in all, one a place of `axis`, or one a block."""
    if parameter is None or parameter.numel() == 1:
        return None if parameter is None else parameter.reshape(())
    at = axis_of(axis, x.dim())
    if parameter.dim() == 1 and not block:
        view = [1] * x.dim()
        view[at] = -1
        return parameter.reshape(view)
    return parameter.repeat_interleave(block, at).narrow(at, 0, x.shape[at])


def _quantised(x: Any, scale: Any, zero: Any, dtype: torch.dtype) -> Any:
    """round(x / scale) + zero, rounded half to even and saturated to `dtype`; x and scale are floats."""
    y = torch.round(x / scale)
    if dtype.is_floating_point:
        return cast(dtype)(x / scale)
    if zero is not None:
        y = y + zero.to(y.dtype)
    limits = torch.iinfo(dtype)
    return y.clamp(limits.min, limits.max).to(dtype)


@op("QuantizeLinear")
def _quantize(call: Call) -> Fn:
    axis, block, saturate = call.get("axis", 1), call.get("block_size", 0), bool(call.get("saturate", 1))
    element = call.get("output_dtype", 0)
    if not element and not call.has(2):
        element = 2  # uint8
    wanted = call.element(element) if element else None
    declared = call.get("precision", 0)
    precision = call.element(declared) if declared else None

    def run(x: Any, scale: Any, zero: Any = None) -> Any:
        dtype: Any = wanted if zero is None else zero.dtype
        computed = precision or scale.dtype
        s = _spread(scale, x, axis, block).to(computed)
        z = _spread(zero, x, axis, block)
        if dtype.is_floating_point:
            return cast(dtype, saturate)(x.to(computed) / s)
        return _quantised(x.to(computed), s, z, dtype)

    return run


@op("DequantizeLinear")
def _dequantize(call: Call) -> Fn:
    axis, block, element = call.get("axis", 1), call.get("block_size", 0), call.get("output_dtype", 0)
    wanted = call.element(element) if element else None

    def run(x: Any, scale: Any, zero: Any = None) -> Any:
        s, z = _spread(scale, x, axis, block), _spread(zero, x, axis, block)
        if x.dtype.is_floating_point or z is None:
            y = x.to(s.dtype)
        else:
            # The difference is exact in int32 for 8 and 16 bits, and wraps for 32 bits as the reference does.
            y = (x.to(torch.int32) - z.to(torch.int32)).to(s.dtype)
        return (y * s).to(wanted or scale.dtype)

    return run


@op("DynamicQuantizeLinear")
def _dynamic_quantize(_call: Call) -> Fn:
    def run(x: Any) -> tuple[Any, ...]:
        low, high = x.amin().clamp(max=0), x.amax().clamp(min=0)
        scale = (high - low) / 255
        zero = torch.round((0 - low) / scale).clamp(0, 255).to(torch.uint8)
        return _quantised(x, scale, zero, torch.uint8), scale, zero

    return run


def _shifted(x: Any, zero: Any, axis: int | None) -> Any:
    """`x` minus its zero point, as float64, in which every product and sum of 8-bit integers is exact."""
    x = x.to(torch.float64)
    if zero is None:
        return x
    zero = zero.to(torch.float64)
    if zero.dim() == 1 and zero.numel() > 1 and axis is not None:
        view = [1] * x.dim()
        view[axis] = -1
        zero = zero.reshape(view)
    elif zero.dim() <= 1:
        zero = zero.reshape(())
    return x - zero


@op("MatMulInteger")
def _matmul_integer(_call: Call) -> Fn:
    def run(a: Any, b: Any, a_zero: Any = None, b_zero: Any = None) -> Any:
        return (_shifted(a, a_zero, -2) @ _shifted(b, b_zero, -1)).to(torch.int32)

    return run


@op("ConvInteger")
def _conv_integer(call: Call) -> Fn:
    conv = convolution(call, window(dict(call.node.attributes), kernel_of(call)), call.get("group", 1))

    def run(x: Any, w: Any, x_zero: Any = None, w_zero: Any = None) -> Any:
        return conv(_shifted(x, x_zero, None), _shifted(w, w_zero, 0)).to(torch.int32)

    return run


@op("QLinearMatMul")
def _qlinear_matmul(_call: Call) -> Fn:
    def run(a: Any, a_scale: Any, a_zero: Any, b: Any, b_scale: Any, b_zero: Any, y_scale: Any, y_zero: Any) -> Any:
        product = _shifted(a, a_zero, -2) @ _shifted(b, b_zero, -1)
        factor = _column(a_scale, -2) * _column(b_scale, -1) / y_scale
        return _quantised(product * factor.to(torch.float64), 1.0, y_zero, y_zero.dtype)

    return run


def _column(scale: Any, axis: int) -> Any:
    if scale.dim() != 1:
        return scale
    return scale.reshape(-1, 1) if axis == -2 and scale.numel() > 1 else scale


@op("QLinearConv")
def _qlinear_conv(call: Call) -> Fn:
    conv = convolution(call, window(dict(call.node.attributes), kernel_of(call, 3)), call.get("group", 1))

    def run(
        x: Any, x_scale: Any, x_zero: Any, w: Any, w_scale: Any, w_zero: Any, y_scale: Any, y_zero: Any, b: Any = None
    ) -> Any:
        bias = None if b is None else b.to(torch.float64)
        product = conv(_shifted(x, x_zero, None), _shifted(w, w_zero, 0), bias)
        factor = (x_scale * w_scale / y_scale).to(torch.float64)
        factor = factor.reshape(-1, *(1,) * (x.dim() - 2)) if factor.numel() > 1 else factor.reshape(())
        return _quantised(product * factor, 1.0, y_zero.reshape(()), y_zero.dtype)

    return run
