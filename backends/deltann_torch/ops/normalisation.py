"""Normalisation over channels, groups, axes and neighbourhoods."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
import torch.nn.functional as F

from deltann.lowering.shapes import axis_of
from deltann_torch.call import Call
from deltann_torch.table import Fn, op


@op("BatchNormalization")
@op("BatchNormalization", 14)
def _batch_normalization(call: Call) -> Fn:
    epsilon, momentum = call.get("epsilon"), call.get("momentum")
    if call.get("spatial", 1) != 1:
        raise call.unsupported("spatial=0, statistics for each element")
    if not call.get("training_mode", 0):
        if call.wants(1):
            raise call.unsupported("training outputs")
        return lambda x, scale, bias, mean, var: _same_type(x, scale, bias, mean, var, epsilon)

    def train(x: Any, scale: Any, bias: Any, mean: Any, var: Any) -> tuple[Any, ...]:
        axes = (0, *range(2, x.dim()))
        now_mean, now_var = x.mean(axes), x.var(axes, correction=0)
        y = _same_type(x, scale, bias, now_mean, now_var, epsilon)
        running = tuple(old * momentum + new * (1 - momentum) for old, new in ((mean, now_mean), (var, now_var)))
        return y, *running

    return train


def _same_type(x: Any, scale: Any, bias: Any, mean: Any, var: Any, epsilon: float) -> Any:
    # From opset 15 on scale and statistics may be of another floating type than the input.
    dtype = x.dtype
    if scale.dtype != dtype or mean.dtype != dtype:
        scale, bias, mean, var = scale.to(dtype), bias.to(dtype), mean.to(dtype), var.to(dtype)
    return F.batch_norm(x, mean, var, scale, bias, False, 0.0, epsilon)


@op("InstanceNormalization")
def _instance_normalization(call: Call) -> Fn:
    epsilon = call.get("epsilon")
    return lambda x, scale, bias: F.instance_norm(x, None, None, scale, bias, True, 0.0, epsilon)


@op("GroupNormalization", 18)
def _group_normalization_by_group(call: Call) -> Fn:
    groups, epsilon = call.get("num_groups"), call.get("epsilon")

    def run(x: Any, scale: Any, bias: Any) -> Any:
        # Opset 18 has one scale a group, where torch has one a channel.
        repeat = x.shape[1] // groups
        return F.group_norm(x, groups, scale.repeat_interleave(repeat), bias.repeat_interleave(repeat), epsilon)

    return run


@op("GroupNormalization", 21)
def _group_normalization(call: Call) -> Fn:
    groups, epsilon = call.get("num_groups"), call.get("epsilon")
    return lambda x, scale, bias: F.group_norm(x, groups, scale, bias, epsilon)


@op("LayerNormalization")
def _layer_normalization(call: Call) -> Fn:
    axis, epsilon = call.get("axis"), call.get("epsilon")
    statistics = call.wants(1) or call.wants(2)
    stash = call.element(call.get("stash_type", 1))

    def run(x: Any, scale: Any, bias: Any = None) -> Any:
        at = axis_of(axis, x.dim())
        shape = tuple(x.shape[at:])
        # torch wants scale and bias of the very shape; ONNX lets them broadcast to it.
        if tuple(scale.shape) != shape:
            scale = scale.expand(shape)
        if bias is not None and tuple(bias.shape) != shape:
            bias = bias.expand(shape)
        if not statistics:
            return F.layer_norm(x, shape, scale, bias, epsilon)
        wide = x.to(stash)
        axes = tuple(range(at, x.dim()))
        mean = wide.mean(axes, keepdim=True)
        inverse = torch.rsqrt(wide.var(axes, correction=0, keepdim=True) + epsilon)
        y = ((wide - mean) * inverse).to(x.dtype) * scale
        return (y if bias is None else y + bias), mean, inverse

    return run


@op("RMSNormalization")
def _rms_normalization(call: Call) -> Fn:
    axis, epsilon = call.get("axis"), call.get("epsilon")
    stash = call.element(call.get("stash_type", 1))

    def run(x: Any, scale: Any) -> Any:
        axes = tuple(range(axis_of(axis, x.dim()), x.dim()))
        wide = x.to(stash)
        return (wide * torch.rsqrt((wide * wide).mean(axes, keepdim=True) + epsilon)).to(x.dtype) * scale

    return run


@op("LpNormalization")
def _lp_normalization(call: Call) -> Fn:
    axis, p = call.get("axis"), call.get("p")

    def run(x: Any) -> Any:
        norm = torch.linalg.vector_norm(x, p, axis, keepdim=True)
        return torch.where(norm == 0, 0, x / norm)

    return run


@op("MeanVarianceNormalization")
def _mean_variance_normalization(call: Call) -> Fn:
    axes = tuple(call.get("axes"))

    def run(x: Any) -> Any:
        mean = x.mean(axes, keepdim=True)
        variance = (x * x).mean(axes, keepdim=True) - mean * mean
        return (x - mean) / (torch.sqrt(variance) + 1e-9)

    return run


@op("LRN")
def _lrn(call: Call) -> Fn:
    size, alpha, beta, bias = call.get("size"), call.get("alpha"), call.get("beta"), call.get("bias")
    before, after = (size - 1) // 2, size // 2

    def run(x: Any) -> Any:
        squares = F.pad((x * x).reshape(x.shape[0], 1, x.shape[1], prod(x.shape[2:])), (0, 0, before, after))
        total = squares.unfold(2, size, 1).sum(-1).reshape(x.shape)
        return x / (bias + alpha / size * total) ** beta

    return run
