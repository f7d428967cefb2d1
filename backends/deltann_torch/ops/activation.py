"""Activations."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
import torch.nn.functional as F

from deltann.lowering.shapes import axis_of
from deltann_torch.call import Call
from deltann_torch.table import Fn, op, plain

plain("Relu", torch.relu)
plain("Softsign", F.softsign)
plain("Mish", F.mish)
plain("HardSwish", F.hardswish)


@op("Softplus")
def _softplus(_call: Call) -> Fn:
    # F.softplus turns linear beyond 20; the threshold is set where both agree in float64 too.
    return lambda x: F.softplus(x, 1.0, 40.0)


@op("LeakyRelu")
def _leaky_relu(call: Call) -> Fn:
    alpha = call.get("alpha")
    return lambda x: F.leaky_relu(x, alpha)


@op("Elu")
def _elu(call: Call) -> Fn:
    alpha = call.get("alpha")
    return lambda x: F.elu(x, alpha)


@op("Celu")
def _celu(call: Call) -> Fn:
    alpha = call.get("alpha")
    return lambda x: F.celu(x, alpha)


@op("Selu")
def _selu(call: Call) -> Fn:
    alpha, gamma = call.get("alpha"), call.get("gamma")
    return lambda x: gamma * torch.where(x > 0, x, alpha * torch.expm1(x))


@op("ThresholdedRelu")
def _thresholded_relu(call: Call) -> Fn:
    alpha = call.get("alpha")
    return lambda x: torch.where(x > alpha, x, 0)


@op("HardSigmoid")
def _hard_sigmoid(call: Call) -> Fn:
    alpha, beta = call.get("alpha"), call.get("beta")
    return lambda x: torch.clamp(x * alpha + beta, 0.0, 1.0)


@op("Swish")
def _swish(call: Call) -> Fn:
    alpha = call.get("alpha")
    return F.silu if alpha == 1.0 else lambda x: x * torch.sigmoid(x * alpha)


@op("Gelu")
def _gelu(call: Call) -> Fn:
    approximate = call.get("approximate")
    return lambda x: F.gelu(x, approximate=approximate)


@op("Shrink")
def _shrink(call: Call) -> Fn:
    bias, threshold = call.get("bias"), call.get("lambd")
    return lambda x: torch.where(x < -threshold, x + bias, torch.where(x > threshold, x - bias, 0)).to(x.dtype)


@op("PRelu")
def _prelu(_call: Call) -> Fn:
    return lambda x, slope: torch.where(x < 0, x * slope, x)


def _along(call: Call, fn: Fn) -> Fn:
    axis = call.get("axis", -1)
    return lambda x: fn(x, axis)


def _flattened(call: Call, fn: Fn) -> Fn:
    # Before opset 13 the axes from `axis` on count as one, so that the operator acts on all of them together.
    axis = call.get("axis", 1)

    def run(x: Any) -> Any:
        at = axis_of(axis, x.dim()) if axis != x.dim() else axis
        if at == x.dim() - 1:
            return fn(x, -1)
        return fn(x.reshape(prod(x.shape[:at]), prod(x.shape[at:])), 1).reshape(x.shape)

    return run


def _hardmax(x: Any, axis: int) -> Any:
    return torch.zeros_like(x).scatter(axis, x.argmax(axis, keepdim=True), 1)


@op("Softmax")
def _softmax_flattened(call: Call) -> Fn:
    return _flattened(call, torch.softmax)


@op("Softmax", 13)
def _softmax(call: Call) -> Fn:
    return _along(call, torch.softmax)


@op("LogSoftmax")
def _log_softmax_flattened(call: Call) -> Fn:
    return _flattened(call, torch.log_softmax)


@op("LogSoftmax", 13)
def _log_softmax(call: Call) -> Fn:
    return _along(call, torch.log_softmax)


@op("Hardmax")
def _hardmax_flattened(call: Call) -> Fn:
    return _flattened(call, _hardmax)


@op("Hardmax", 13)
def _hardmax_along(call: Call) -> Fn:
    return _along(call, _hardmax)
