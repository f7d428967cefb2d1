"""Types, constants and shapes: Cast, Constant, Reshape, Transpose, Concat, Split, Pad, Expand, Range and their kin."""

from __future__ import annotations

from math import ceil, prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from deltann.lowering.graph import dense
from deltann.lowering.shapes import axes_of, axis_of, pad_pairs, reshape
from deltann_torch.call import Call
from deltann_torch.dtypes import at_precision
from deltann_torch.table import Fn, op, plain

plain("Identity", lambda x: x)
plain("Size", lambda x: _host_tensor(x.numel(), x))


def _host_tensor(value: Any, like: Any) -> Any:
    # Of a tensor without data the shape is known all the same: the result is then a constant.
    return torch.tensor(value, dtype=torch.int64, device="cpu" if like.device.type == "meta" else like.device)


@op("Shape")
def _shape(call: Call) -> Fn:
    start, end = call.get("start", 0), call.get("end")
    return lambda x: _host_tensor(list(x.shape)[start:end], x)


_FLOAT8 = (torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz)


def cast(dtype: torch.dtype, saturate: bool = True) -> Fn:
    """A callable that converts to `dtype` by ONNX's rules; `saturate` bounds what 8-bit floats cannot hold."""
    if dtype not in _FLOAT8:
        return lambda x, *_: x.to(dtype)
    if not saturate:
        # torch 2.13 saturates E4M3FN by itself; beyond half a step above 448 ONNX wants NaN.
        top = 464.0 if dtype == torch.float8_e4m3fn else float("inf")
        return lambda x, *_: torch.where(x.abs() > top, float("nan"), x).to(dtype)
    limit = torch.finfo(dtype).max

    def run(x: Any, *_: Any) -> Any:
        x = x.to(torch.float32) if x.dtype in _FLOAT8 else x
        return x.clamp(-limit, limit).to(dtype)

    return run


@op("Cast")
def _cast(call: Call) -> Fn:
    return cast(call.element(call.get("to")), bool(call.get("saturate", 1)))


@op("CastLike")
def _cast_like(call: Call) -> Fn:
    dtype, saturate = call.dtype(1), bool(call.get("saturate", 1))
    if dtype is None:
        return lambda x, like: cast(like.dtype, saturate)(x)
    return cast(dtype, saturate)


@op("Constant")
def _constant(call: Call) -> Fn:
    values = call.node.attributes
    if "sparse_value" in values:
        value: Any = dense(values["sparse_value"])
    elif "value" in values:
        value = values["value"]
    elif "value_float" in values or "value_floats" in values:
        value = np.asarray(values.get("value_float", values.get("value_floats")), np.float32)
    elif "value_int" in values or "value_ints" in values:
        value = np.asarray(values.get("value_int", values.get("value_ints")), np.int64)
    else:
        raise call.unsupported("strings")
    tensor = call.tensor(value)
    return lambda: tensor


@op("ConstantOfShape", host=(0,), made=True)
def _constant_of_shape(call: Call) -> Fn:
    value = call.get("value")
    tensor = call.tensor(np.zeros(1, np.float32) if value is None else value).reshape(())
    fill, dtype = tensor.item(), at_precision(tensor.dtype, call.precision)
    return lambda shape: torch.full(shape, fill, dtype=dtype)


@op("EyeLike")
def _eye_like(call: Call) -> Fn:
    dtype, k = call.get("dtype"), call.get("k", 0)

    def run(x: Any) -> Any:
        like = call.element(dtype) if dtype else x.dtype
        device = None if x.device.type == "meta" else x.device
        rows, columns = (torch.arange(n, device=device) for n in x.shape)
        return (rows[:, None] + k == columns).to(like)

    return run


@op("Range")
def _range(_call: Call) -> Fn:
    def run(start: Any, limit: Any, delta: Any) -> Any:
        first, step = start.item(), delta.item()
        count = max(ceil((limit.item() - first) / step), 0)
        steps = torch.arange(count, device=start.device)
        return (steps.to(start.dtype) * delta + start).to(start.dtype)

    return run


@op("Reshape", 5, host=(1,))
def _reshape(call: Call) -> Fn:
    allowzero = bool(call.get("allowzero", 0))
    shape, target = call.shape(0), call.constant(1)
    if shape is not None and target is not None:
        known = reshape(target.tolist(), shape, allowzero)
        return lambda x, _: x.reshape(known)
    return lambda x, shape: x.reshape(reshape(shape, x.shape, allowzero))


@op("Flatten")
def _flatten(call: Call) -> Fn:
    axis = call.get("axis", 1)

    def run(x: Any) -> Any:
        at = axis + x.dim() if axis < 0 else axis
        return x.reshape(prod(x.shape[:at]), prod(x.shape[at:]))

    return run


@op("Transpose")
def _transpose(call: Call) -> Fn:
    perm = call.get("perm")
    if perm is None:
        return lambda x: x.permute(tuple(reversed(range(x.dim()))))
    return lambda x: x.permute(perm)


@op("Squeeze")
def _squeeze_attribute(call: Call) -> Fn:
    axes = call.get("axes")
    return lambda x: _squeeze(x, axes)


@op("Squeeze", 13, host=(1,))
def _squeeze_input(_call: Call) -> Fn:
    return lambda x, axes=None: _squeeze(x, axes)


def _squeeze(x: Any, axes: Any) -> Any:
    if axes is None:
        return x.squeeze()
    axes = [axes] if isinstance(axes, int) else axes
    wrong = [axis for axis in axes_of(axes, x.dim()) if x.shape[axis] != 1]
    if wrong:
        raise ValueError(f"Squeeze: axes {wrong} of a tensor {tuple(x.shape)} are not of size 1")
    return x.squeeze(tuple(axes))


@op("Unsqueeze")
def _unsqueeze_attribute(call: Call) -> Fn:
    axes = call.get("axes")
    return lambda x: _unsqueeze(x, axes)


@op("Unsqueeze", 13, host=(1,))
def _unsqueeze_input(_call: Call) -> Fn:
    return _unsqueeze


def _unsqueeze(x: Any, axes: Any) -> Any:
    axes = [axes] if isinstance(axes, int) else axes  # onnx's own function bodies give a scalar at times
    rank = x.dim() + len(axes)
    for axis in sorted(axes_of(axes, rank)):
        x = x.unsqueeze(axis)
    return x


@op("Expand", 8, host=(1,))
def _expand(_call: Call) -> Fn:
    return lambda x, shape: x.expand(torch.broadcast_shapes(tuple(x.shape), tuple(shape)))


@op("Tile", 6, host=(1,))
def _tile(_call: Call) -> Fn:
    return lambda x, repeats: x.repeat(repeats)


@op("Concat")
def _concat(call: Call) -> Fn:
    axis = call.get("axis")
    return lambda *values: torch.cat(values, axis)


@op("Split")
def _split_attribute(call: Call) -> Fn:
    axis, parts, outputs = call.get("axis", 0), call.get("split"), call.n_outputs
    return lambda x: _split(x, parts, axis, outputs)


@op("Split", 13, host=(1,))
def _split_input(call: Call) -> Fn:
    axis, outputs = call.get("axis", 0), call.get("num_outputs") or call.n_outputs
    return lambda x, parts=None: _split(x, parts, axis, outputs)


def _split(x: Any, parts: Any, axis: int, outputs: int) -> tuple[Any, ...]:
    if not parts:
        # Equal parts; where they cannot be, the last one is the smaller.
        size = x.shape[axis]
        part = -(-size // outputs)
        parts = [min(part, max(size - i * part, 0)) for i in range(outputs)]
    return tuple(torch.split(x, list(parts), axis))


@op("Pad")
def _pad_attribute(call: Call) -> Fn:
    mode, pads, value = call.get("mode"), call.get("pads"), call.get("value")
    return lambda x: _pad(x, pads, None, mode, value)


@op("Pad", 11, host=(1, 2, 3))
def _pad_input(call: Call) -> Fn:
    mode = call.get("mode")
    return lambda x, pads, value=None, axes=None: _pad(x, pads, axes, mode, 0 if value is None else value)


def _pad(x: Any, pads: Any, axes: Any, mode: str, value: Any) -> Any:
    value = value[0] if isinstance(value, list) else value
    pairs = pad_pairs(pads, axes, x.dim())
    if mode == "constant":
        return F.pad(x, [n for pair in reversed(pairs) for n in pair], value=value)
    for axis, (before, after) in enumerate(pairs):
        if (before, after) != (0, 0):
            size = x.shape[axis]
            at = torch.arange(-before, size + after, device=x.device)
            match mode:
                case "edge":
                    at = at.clamp(0, size - 1)
                case "wrap":
                    at = at % size
                case "reflect":
                    period = max(2 * (size - 1), 1)
                    at = at % period
                    at = torch.where(at >= size, period - at, at)
            x = x.index_select(axis, at)
    return x


@op("DepthToSpace")
def _depth_to_space(call: Call) -> Fn:
    block, mode = call.get("blocksize"), call.get("mode", "DCR")

    def run(x: Any) -> Any:
        n, c, h, w = x.shape
        if mode == "CRD":
            y = x.reshape(n, c // block**2, block, block, h, w).permute(0, 1, 4, 2, 5, 3)
        else:
            y = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
        return y.reshape(n, c // block**2, h * block, w * block)

    return run


@op("SpaceToDepth")
def _space_to_depth(call: Call) -> Fn:
    block, mode = call.get("blocksize"), call.get("mode", "DCR")

    def run(x: Any) -> Any:
        n, c, h, w = x.shape
        y = x.reshape(n, c, h // block, block, w // block, block)
        y = y.permute(0, 1, 3, 5, 2, 4) if mode == "CRD" else y.permute(0, 3, 5, 1, 2, 4)
        return y.reshape(n, c * block**2, h // block, w // block)

    return run


@op("CenterCropPad", host=(1,))
def _center_crop_pad(call: Call) -> Fn:
    axes = call.get("axes")

    def run(x: Any, shape: list[int]) -> Any:
        for axis, wanted in zip(axes_of(axes, x.dim()), shape, strict=True):
            size = x.shape[axis]
            if size > wanted:
                x = x.narrow(axis, (size - wanted) // 2, wanted)
            elif size < wanted:
                before = (wanted - size) // 2
                pads = [0, 0] * (x.dim() - 1 - axis_of(axis, x.dim())) + [before, wanted - size - before]
                x = F.pad(x, pads)
        return x

    return run


@op("Trilu", host=(1,))
def _trilu(call: Call) -> Fn:
    keep = torch.triu if call.get("upper", 1) else torch.tril
    return lambda x, k=0: keep(x, k[0] if isinstance(k, list) else (k or 0))


@op("Dropout", 7)
def _dropout_inference(call: Call) -> Fn:
    mask = call.wants(1)
    return lambda x: (x, torch.ones_like(x, dtype=torch.bool)) if mask else x


@op("Dropout", 12)
def _dropout(call: Call) -> Fn:
    mask, ratio_given = call.wants(1), call.has(1)

    def run(x: Any, ratio: Any = None, training: Any = None) -> Any:
        if training is not None and bool(training) and not (ratio_given and float(ratio) == 0):
            raise call.unsupported("training mode, whose random mask no other backend shares")
        return (x, torch.ones_like(x, dtype=torch.bool)) if mask else x

    return run
