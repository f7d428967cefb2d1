"""Operators in plain numpy, float64, written from the ONNX specification and from no framework.

Images are [N, C, H, W], pads are (top, left, bottom, right).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    strides: Pair = (1, 1),
    pads: Pads = (0, 0, 0, 0),
    dilations: Pair = (1, 1),
    group: int = 1,
) -> Array:
    """`Conv`: cross-correlation of x [N, C, H, W] with weight [M, C/group, kH, kW]."""
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
    kernel = (weight.shape[2], weight.shape[3])
    height, width = _positions(x, kernel, strides, dilations)
    outputs = np.zeros((len(x), len(weight), height, width))
    inputs_each, outputs_each = weight.shape[1], len(weight) // group
    for g in range(group):
        part = x[:, g * inputs_each : (g + 1) * inputs_each]
        filters = weight[g * outputs_each : (g + 1) * outputs_each].astype(np.float64)
        for i in range(height):
            for j in range(width):
                window = _window(part, i, j, kernel, strides, dilations)
                outputs[:, g * outputs_each : (g + 1) * outputs_each, i, j] = np.einsum(
                    "nchw,mchw->nm", window, filters
                )
    return outputs if bias is None else outputs + bias.reshape(1, -1, 1, 1)


def same_upper(size: int, kernel: int, stride: int) -> Pair:
    """The padding before and after that `auto_pad=SAME_UPPER` means along one axis: the odd one goes to the end."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def batch_norm(x: Array, scale: Array, bias: Array, mean: Array, variance: Array, epsilon: float) -> Array:
    """`BatchNormalization` at inference, over axis 1."""
    shape = (1, -1, *(1,) * (x.ndim - 2))
    scale, bias, mean, variance = (v.astype(np.float64).reshape(shape) for v in (scale, bias, mean, variance))
    return (x - mean) / np.sqrt(variance + epsilon) * scale + bias


def max_pool(x: Array, kernel: Pair, strides: Pair, pads: Pads = (0, 0, 0, 0), ceil_mode: bool = False) -> Array:
    """`MaxPool`; what `ceil_mode` adds at the end counts for nothing."""
    return _pool(x, kernel, strides, pads, ceil_mode, lambda window, _: window.max(axis=(2, 3)))


def average_pool(x: Array, kernel: Pair, strides: Pair, pads: Pads, count_include_pad: bool) -> Array:
    """`AveragePool` without `ceil_mode`."""

    def mean(window: Array, inside: Array) -> Array:
        total = np.where(inside, window, 0.0).sum(axis=(2, 3))
        return np.asarray(total / (inside.size if count_include_pad else inside.sum()))

    return _pool(x, kernel, strides, pads, False, mean)


def softmax(x: Array, axis: int = -1) -> Array:
    """`Softmax` of opset 13 and later."""
    raised = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(raised / raised.sum(axis=axis, keepdims=True))


def layer_norm(x: Array, scale: Array, bias: Array, epsilon: float) -> Array:
    """`LayerNormalization` over the last axis."""
    centred = x - x.mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon) * scale + bias)


def gelu(x: Array) -> Array:
    """`Gelu` with `approximate=none`."""
    return np.asarray(0.5 * x * (1 + np.vectorize(math.erf)(x / np.sqrt(2))))


def linear_resize(x: Array, axis: int, scale: int) -> Array:
    """`Resize` along one axis: linear, `half_pixel`, enlarged by a whole factor."""
    size = x.shape[axis]
    at = np.clip((np.arange(size * scale) + 0.5) / scale - 0.5, 0, size - 1)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, size - 1)
    share = (at - low).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return np.asarray(x.take(low, axis) * (1 - share) + x.take(high, axis) * share)


def _pool(
    x: Array, kernel: Pair, strides: Pair, pads: Pads, ceil_mode: bool, reduce: Callable[[Array, Array], Array]
) -> Array:
    extra = (kernel[0] - 1, kernel[1] - 1) if ceil_mode else (0, 0)
    around = ((0, 0), (0, 0), (pads[0], pads[2] + extra[0]), (pads[1], pads[3] + extra[1]))
    padded = np.pad(x.astype(np.float64), around, constant_values=-np.inf)
    sizes = [_pooled(x.shape[a + 2], kernel[a], strides[a], pads[a] + pads[a + 2], ceil_mode) for a in (0, 1)]
    outputs = np.zeros((*x.shape[:2], *sizes))
    for i, j in _grid(sizes[0], sizes[1]):
        window = _window(padded, i, j, kernel, strides, (1, 1))
        outputs[:, :, i, j] = reduce(window, np.isfinite(window[0, 0]))
    return outputs


def _pooled(size: int, kernel: int, stride: int, pads: int, ceil_mode: bool) -> int:
    room = size + pads - kernel
    return (-(-room // stride) if ceil_mode else room // stride) + 1


def _positions(x: Array, kernel: Pair, strides: Pair, dilations: Pair) -> Pair:
    sizes = [(x.shape[a + 2] - dilations[a] * (kernel[a] - 1) - 1) // strides[a] + 1 for a in (0, 1)]
    return sizes[0], sizes[1]


def _window(x: Array, i: int, j: int, kernel: Pair, strides: Pair, dilations: Pair) -> Array:
    top, left = i * strides[0], j * strides[1]
    rows = slice(top, top + dilations[0] * (kernel[0] - 1) + 1, dilations[0])
    columns = slice(left, left + dilations[1] * (kernel[1] - 1) + 1, dilations[1])
    return x[:, :, rows, columns]


def _grid(height: int, width: int) -> Iterator[Pair]:
    return ((i, j) for i in range(height) for j in range(width))
