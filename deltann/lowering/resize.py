"""Where each output sample of Resize lies in the input, and with which weights: numpy only, one axis at a time.

Source: the ONNX definition of Resize (opsets 10 to 19) and its reference implementation in `onnx.reference`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sampling:
    """The attributes of Resize that say where to sample and how to weigh."""

    mode: Literal["nearest", "linear", "cubic"] = "nearest"
    coordinates: str = "half_pixel"
    nearest: str = "round_prefer_floor"
    cubic_a: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    extrapolation: float = 0.0


def output_sizes(
    shape: Sequence[int], scales: Sequence[float] | None, sizes: Sequence[int] | None, policy: str = "stretch"
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The output's sizes and the scales that map coordinates, for the axes that are resized.

    `policy` is `keep_aspect_ratio_policy`: it acts where `sizes` are given, and scales every axis alike.
    """
    if scales is not None:
        return tuple(int(np.floor(s * n)) for s, n in zip(scales, shape, strict=True)), tuple(map(float, scales))
    if sizes is None:
        raise ValueError("Resize needs scales or sizes")
    ratios = [size / n for size, n in zip(sizes, shape, strict=True)]
    if policy == "stretch":
        return tuple(int(size) for size in sizes), tuple(ratios)
    scale = min(ratios) if policy == "not_larger" else max(ratios)
    return tuple(int(np.floor(scale * n + 0.5)) for n in shape), (scale,) * len(shape)


def positions(sampling: Sampling, size: int, out: int, scale: float, roi: tuple[float, float] = (0.0, 1.0)) -> Floats:
    """The input coordinate of each output sample, by `coordinate_transformation_mode`."""
    x = np.arange(out, dtype=np.float64)
    # The official node tests take a length that comes from `scales` as the fraction it is, before it is floored.
    length = scale * size
    match sampling.coordinates:
        case "asymmetric":
            return x / scale
        case "half_pixel":
            return (x + 0.5) / scale - 0.5
        case "pytorch_half_pixel":
            return (x + 0.5) / scale - 0.5 if out > 1 else np.zeros(1)
        case "tf_half_pixel_for_nn":
            return (x + 0.5) / scale
        case "align_corners":
            return x * (size - 1) / (length - 1) if out > 1 else np.zeros(out)
        case "half_pixel_symmetric":
            # The output's size may be a floor; the sampled span stays centred on the input.
            offset = size / 2 * (1 - out / length)
            return offset + (x + 0.5) / scale - 0.5
        case "tf_crop_and_resize":
            start, end = roi
            if out > 1:
                return start * (size - 1) + x * (end - start) * (size - 1) / (length - 1)
            return np.full(1, 0.5 * (start + end) * (size - 1))
    raise ValueError(f"Resize: coordinate_transformation_mode={sampling.coordinates} is unknown")


def nearest_indices(at: Floats, rule: str, size: int) -> Indices:
    """The sample that `nearest_mode` picks for each coordinate, kept inside the input."""
    match rule:
        case "round_prefer_floor":
            picked = np.ceil(at - 0.5)
        case "round_prefer_ceil":
            picked = np.floor(at + 0.5)
        case "floor":
            picked = np.floor(at)
        case "ceil":
            picked = np.ceil(at)
        case _:
            raise ValueError(f"Resize: nearest_mode={rule} is unknown")
    return np.clip(picked.astype(np.int64), 0, size - 1)


def taps(
    sampling: Sampling, size: int, out: int, scale: float, roi: tuple[float, float] = (0.0, 1.0)
) -> tuple[Indices, Floats, npt.NDArray[np.bool_]]:
    """Indices and weights, both `[out, taps]`, and which outputs lie outside the input (`tf_crop_and_resize` only).

    An output sample is the sum of weight times input over its row. Indices outside the input are clamped to its edge;
    with `exclude_outside` their weight is zero and the others are scaled to sum to one.
    """
    at = positions(sampling, size, out, scale, roi)
    outside = np.zeros(out, bool)
    if sampling.coordinates == "tf_crop_and_resize":
        outside = (at < 0) | (at > size - 1)
    if sampling.mode == "nearest":
        return nearest_indices(at, sampling.nearest, size)[:, None], np.ones((out, 1)), outside
    # Antialiasing widens the filter while shrinking; it never narrows it.
    stretch = min(scale, 1.0) if sampling.antialias else 1.0
    support = (1.0 if sampling.mode == "linear" else 2.0) / stretch
    first = np.floor(at - support).astype(np.int64) + 1
    indices = first[:, None] + np.arange(int(np.ceil(2 * support)) + 1)
    distance = np.abs(indices - at[:, None]) * stretch
    weights = np.maximum(1 - distance, 0) if sampling.mode == "linear" else _cubic(distance, sampling.cubic_a)
    if sampling.exclude_outside:
        weights = np.where((indices < 0) | (indices >= size), 0.0, weights)
    if sampling.exclude_outside or sampling.antialias:
        weights = weights / weights.sum(axis=1, keepdims=True)
    used = np.flatnonzero((weights != 0).any(axis=0))
    return np.clip(indices[:, used], 0, size - 1), weights[:, used], outside


def _cubic(t: Floats, a: float) -> Floats:
    # Keys' cubic convolution kernel, doi:10.1109/TASSP.1981.1163711.
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))
