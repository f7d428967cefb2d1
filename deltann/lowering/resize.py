"""Where each output sample of Resize lies in the input, and with which weights: numpy only, one axis at a time.

Source: the ONNX definition of Resize (opsets 10 to 19) and its reference implementation in `onnx.reference`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from deltann.errors import Unsupported
from deltann.lowering.shapes import axes_of

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


Mode = Literal["nearest", "linear", "cubic"]
_MODES: dict[str, Mode] = {"nearest": "nearest", "linear": "linear", "bilinear": "linear", "cubic": "cubic"}


@dataclass(frozen=True)
class Sampling:
    """The attributes of Resize that say where to sample and how to weigh."""

    mode: Mode = "nearest"
    coordinates: str = "half_pixel"
    nearest: str = "round_prefer_floor"
    cubic_a: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    extrapolation: float = 0.0

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> Sampling:
        """The sampling that the attributes of a Resize or Upsample node ask for.

        Raises:
            Unsupported: a mode that the definition does not know.
        """
        mode = _MODES.get(attributes["mode"])
        if mode is None:
            raise Unsupported(f"Resize: mode={attributes['mode']}")
        # Before opset 11 there was one rule: coordinates divided by the scale, and rounded down.
        return cls(
            mode=mode,
            coordinates=attributes.get("coordinate_transformation_mode", "asymmetric"),
            nearest=attributes.get("nearest_mode", "floor"),
            cubic_a=attributes.get("cubic_coeff_a", -0.75),
            exclude_outside=bool(attributes.get("exclude_outside", 0)),
            antialias=bool(attributes.get("antialias", 0)),
            extrapolation=attributes.get("extrapolation_value", 0.0),
        )


@dataclass(frozen=True)
class Step:
    """How one axis is sampled anew: `indices` and `weights` are `[out, taps]`; no weights: the first tap itself.

    Where `outside`, `[out]`, is set, the output is the extrapolation value instead.
    """

    axis: int
    indices: Indices
    weights: Floats | None
    outside: npt.NDArray[np.bool_] | None


def plan(
    attributes: Mapping[str, Any],
    shape: Sequence[int],
    roi: Sequence[float] | None,
    scales: Sequence[float] | None,
    sizes: Sequence[int] | None,
) -> list[Step]:
    """The axes that a Resize or Upsample node changes, for an input of `shape` and the values of its other inputs."""
    sampling, rank = Sampling.of(attributes), len(shape)
    axes = axes_of(attributes.get("axes"), rank)
    policy = attributes.get("keep_aspect_ratio_policy", "stretch")
    # Before opset 13 an input that is not used is given as an empty tensor.
    out, ratios = output_sizes([shape[axis] for axis in axes], scales or None, sizes or None, policy)
    crops = sampling.coordinates == "tf_crop_and_resize"
    steps = []
    for i, (axis, size, scale) in enumerate(zip(axes, out, ratios, strict=True)):
        span = (roi[i], roi[i + len(axes)]) if crops and roi else (0.0, 1.0)
        if shape[axis] == size and scale == 1 and span == (0.0, 1.0):
            continue
        indices, weights, outside = taps(sampling, shape[axis], size, scale, span)
        single = weights.shape[1] == 1 and bool((weights == 1).all())
        steps.append(Step(axis, indices, None if single else weights, outside if outside.any() else None))
    return steps


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
