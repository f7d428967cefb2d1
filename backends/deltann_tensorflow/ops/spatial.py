"""Sampling images at fractional places: GridSample, AffineGrid, RoiAlign, DeformConv."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import tensorflow as tf

from deltann.lowering.padding import window
from deltann_tensorflow.call import Call
from deltann_tensorflow.ops.convolution import kernel_of
from deltann_tensorflow.ops.indexing import shape_of
from deltann_tensorflow.table import Fn, op

Tap = tuple[Any, Any]
"""Where along an axis to read, and with which weight; both of the same shape, floats."""

_CUBIC_A = -0.75
"""The coefficient of Keys' kernel that GridSample's definition fixes."""


def sampled(x: Any, places: Sequence[Sequence[Tap]], shape: Sequence[int]) -> Any:
    """`x` `[batch…, space, channels]` read at the taps of each spatial axis, `[batch…, points]`, and summed.

    `shape` are the spatial sizes, which `x` has in one axis. Returns `[batch…, points, channels]`.
    """
    batch = x.shape.rank - 2
    total: Any = None
    for corner in product(*places):
        at: Any = 0
        weight: Any = 1
        for (index, part), size in zip(corner, shape, strict=True):
            # An index outside may be anything: its weight is zero.
            at = at * size + tf.cast(tf.clip_by_value(index, 0, size - 1), tf.int32)
            weight = weight * part
        taken = tf.gather(x, at, axis=batch, batch_dims=batch) * weight[..., None]
        total = taken if total is None else total + taken
    return total


def _inside(index: Any, weight: Any, size: int) -> Tap:
    return index, tf.where((index >= 0) & (index < size), weight, tf.zeros((), weight.dtype))


def _linear(at: Any) -> list[Tap]:
    low = tf.floor(at)
    return [(low, low + 1 - at), (low + 1, at - low)]


def _cubic(at: Any) -> list[Tap]:
    # Keys' cubic convolution kernel, doi:10.1109/TASSP.1981.1163711.
    first, a = tf.floor(at), _CUBIC_A
    taps = []
    for offset in (-1, 0, 1, 2):
        t = tf.abs(at - first - offset)
        near = ((a + 2) * t - (a + 3)) * t * t + 1
        far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
        taps.append((first + offset, near if offset in (0, 1) else far))
    return taps


def _brought_back(at: Any, size: int, padding: str, corners: bool) -> Any:
    """What lies beyond the image moved to its edge, or folded back at it, as `padding_mode` says."""
    low, high = (0.0, size - 1.0) if corners else (-0.5, size - 0.5)
    if padding == "border":
        back = tf.clip_by_value(at, 0, size - 1)
    elif padding == "reflection" and high > low:
        span = high - low
        distance = tf.abs(at - low)
        rest = tf.math.floormod(distance, span)
        back = low + tf.where(tf.math.floormod(tf.floor(distance / span), 2) == 0, rest, span - rest)
    elif padding == "reflection":
        back = tf.zeros_like(at)
    else:
        return at
    return tf.where((at < low) | (at > high), back, at)


@op("GridSample", layout="last")
def _grid_sample(call: Call) -> Fn:
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(call.get("mode"), call.get("mode"))
    padding, corners = call.get("padding_mode"), bool(call.get("align_corners"))

    def taps(at: Any, size: int) -> list[Tap]:
        at = ((at + 1) / 2 * (size - 1)) if corners else ((at + 1) * size - 1) / 2
        if mode == "cubic":
            # Only each tap is brought back, as onnxruntime and torch have it; onnx's reference moves the place first.
            found = _cubic(at)
        else:
            at = _brought_back(tf.round(at) if mode == "nearest" else at, size, padding, corners)
            found = [(at, tf.ones_like(at))] if mode == "nearest" else _linear(at)
        return [_inside(_brought_back(index, size, padding, corners), weight, size) for index, weight in found]

    def run(x: Any, grid: Any) -> Any:
        (batch, *shape, channels), spread = shape_of(call, x), shape_of(call, grid)
        computed = x.dtype if x.dtype.is_floating else tf.float32
        flat = tf.reshape(tf.cast(grid, computed), [batch, -1, len(shape)])
        # The grid's last axis begins with the last of the spatial ones.
        places = [taps(flat[..., len(shape) - 1 - d], size) for d, size in enumerate(shape)]
        y = sampled(tf.reshape(tf.cast(x, computed), [batch, -1, channels]), places, shape)
        return tf.cast(tf.reshape(y, [*spread[:-1], channels]), x.dtype)

    return run


@op("AffineGrid", host=(1,))
def _affine_grid(call: Call) -> Fn:
    corners = bool(call.get("align_corners"))

    def places(size: int) -> Any:
        if corners:
            return np.linspace(-1, 1, size) if size > 1 else np.zeros(1)
        return (2 * np.arange(size) + 1) / size - 1

    def run(theta: Any, size: list[int]) -> Any:
        batch, _, *space = size
        # The last axis begins with the last of the spatial ones, and ends with a one for what is added.
        axes = np.meshgrid(*map(places, space), indexing="ij")[::-1]
        base = np.stack([*axes, np.ones(space)], -1).reshape(-1, len(space) + 1)
        grid = tf.matmul(tf.constant(base, theta.dtype), theta, transpose_b=True)
        return tf.reshape(grid, [batch, *space, len(space)])

    return run


@op("RoiAlign", layout="last")
def _roi_align(call: Call) -> Fn:
    out = (call.get("output_height", 1), call.get("output_width", 1))
    scale, ratio, mode = call.get("spatial_scale", 1.0), call.get("sampling_ratio", 0), call.get("mode", "avg")
    half_pixel = call.get("coordinate_transformation_mode", "output_half_pixel") == "half_pixel"

    def placed(rois: Any) -> tuple[Any, Any]:
        """Where regions begin and how far they reach, both [n, (down, across)]."""
        low, high = (rois[:, at] * scale - (0.5 if half_pixel else 0.0) for at in (slice(1, None, -1), slice(3, 1, -1)))
        return low, high - low if half_pixel else tf.maximum(high - low, 1)

    def pooled(x: Any, rois: Any, batch: Any, counts: Sequence[Any]) -> Any:
        """Regions of `x` `[batch, height, width, channels]` as `[n, *out, channels]`, by `counts` samples a bin."""
        (begins, spans), shape, number = placed(rois), x.shape[1:3], tf.shape(rois)[0]
        places = []
        for axis, (bins, count, size) in enumerate(zip(out, counts, shape, strict=True)):
            steps = tf.cast(tf.range(bins * count), x.dtype) + 0.5
            at = begins[:, axis, None] + steps * spans[:, axis, None] / tf.cast(bins * count, x.dtype)
            places.append(_edges(at, size))
        flat, image = tf.reshape(x, [-1, x.shape[3]]), tf.cast(batch, tf.int32)[:, None, None]
        grid = tf.stack([number, out[0], counts[0], out[1], counts[1], x.shape[3]])
        corners = []
        for (r, wr), (c, wc) in product(*places):
            at = (image * shape[0] + r[:, :, None]) * shape[1] + c[:, None, :]
            corners.append(tf.reshape(tf.gather(flat, at) * (wr[:, :, None] * wc[:, None, :])[..., None], grid))
        if mode == "max":
            # The specification takes the maximum over the weighted corners, each by itself.
            y = tf.reduce_max(tf.stack([tf.reduce_max(corner, [2, 4]) for corner in corners]), 0)
        else:
            y = tf.reduce_sum(tf.add_n(corners), [2, 4]) / tf.cast(tf.maximum(counts[0] * counts[1], 1), x.dtype)
        # A region without samples is zero.
        return tf.where(counts[0] * counts[1] > 0, y, tf.zeros_like(y))

    def one(x: Any, roi: Any, batch: Any) -> Any:
        # As many samples a bin as it has pixels, so each region by itself.
        _, span = placed(roi[None])
        counts = tf.maximum(tf.cast(tf.math.ceil(span[0] / tf.constant(out, span.dtype)), tf.int32), 0)
        return pooled(x, roi[None], batch[None], (counts[0], counts[1]))[0]

    def run(x: Any, rois: Any, batch: Any) -> Any:
        if None in x.shape.as_list()[1:]:
            raise call.unsupported("an image whose sizes only the data tells")
        if ratio > 0:
            return pooled(x, rois, batch, (ratio, ratio))
        signature = tf.TensorSpec([*out, x.shape[3]], x.dtype)
        return tf.map_fn(lambda item: one(x, *item), (rois, batch), fn_output_signature=signature)

    return run


def _edges(at: Any, size: int) -> list[Tap]:
    """Two taps along one axis; what lies up to one pixel outside takes the edge, further out zero."""
    inside = tf.cast((at >= -1) & (at <= size), at.dtype)
    at = tf.clip_by_value(at, 0, size - 1)
    low = tf.floor(at)
    high = tf.minimum(low + 1, size - 1)
    part = at - low
    return [(tf.cast(low, tf.int32), (1 - part) * inside), (tf.cast(high, tf.int32), part * inside)]


@op("DeformConv")
def _deform_conv(call: Call) -> Fn:
    win = window(dict(call.node.attributes), kernel_of(call))
    if len(win.kernel) != 2:
        raise call.unsupported("spatial axes other than two")
    groups, offset_groups = call.get("group", 1), call.get("offset_group", 1)
    (kh, kw), (sh, sw), (dh, dw) = win.kernel, win.strides, win.dilations

    def run(x: Any, w: Any, offset: Any, b: Any = None, mask: Any = None) -> Any:
        n, channels, *shape = shape_of(call, x)
        (ph, pw), _ = win.explicit(shape)
        oh, ow = win.output_sizes(shape)
        taps, per, outputs = kh * kw, channels // offset_groups, w.shape[0]
        tap = np.arange(taps)[:, None, None]
        rows = (np.arange(oh) * sh - ph)[:, None] + tap // kw * dh
        columns = (np.arange(ow) * sw - pw)[None, :] + tap % kw * dw
        offsets = tf.reshape(offset, [n, offset_groups, taps, 2, oh, ow])
        places = []
        for axis, (base, size) in enumerate(zip((rows, columns), shape, strict=True)):
            at = tf.reshape(offsets[:, :, :, axis] + tf.constant(base, x.dtype), [n, offset_groups, taps * oh * ow])
            places.append([_inside(index, weight, size) for index, weight in _linear(at)])
        values = tf.transpose(tf.reshape(x, [n, offset_groups, per, -1]), [0, 1, 3, 2])
        y = sampled(values, places, shape)
        if mask is not None:
            y = y * tf.reshape(mask, [n, offset_groups, taps * oh * ow, 1])
        # One product for each group: [out / group, in / group * taps] by [.., oh * ow].
        y = tf.reshape(tf.transpose(y, [0, 1, 3, 2]), [n, groups, channels // groups * taps, oh * ow])
        y = tf.reshape(tf.matmul(tf.reshape(w, [groups, outputs // groups, -1]), y), [n, outputs, oh, ow])
        return y if b is None else y + tf.reshape(b, [1, -1, 1, 1])

    return run
