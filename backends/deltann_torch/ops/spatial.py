"""Sampling and detection: GridSample, AffineGrid (by its function), RoiAlign, DeformConv, NonMaxSuppression."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from deltann.lowering.padding import window
from deltann_torch.call import Call
from deltann_torch.ops.convolution import kernel_of
from deltann_torch.table import Fn, op

_GRID_MODES = {
    "bilinear": "bilinear",
    "linear": "bilinear",
    "nearest": "nearest",
    "bicubic": "bicubic",
    "cubic": "bicubic",
}


@op("GridSample")
def _grid_sample(call: Call) -> Fn:
    mode, padding, corners = _GRID_MODES[call.get("mode")], call.get("padding_mode"), bool(call.get("align_corners"))
    shape = call.shape(0)
    if shape is not None and (len(shape) not in (4, 5) or (len(shape) == 5 and mode == "bicubic")):
        raise call.unsupported(f"mode {mode} over {len(shape) - 2} spatial axes, which torch lacks")
    return lambda x, grid: F.grid_sample(x, grid.to(x.dtype), mode, padding, corners)


def bilinear(x: Any, rows: Any, columns: Any) -> Any:
    """`x` [..., H, W] at fractional places [...] of the same leading shape broadcast; zero outside."""
    height, width = x.shape[-2:]
    top, left = torch.floor(rows), torch.floor(columns)
    total: Any = 0
    for r, wr in ((top, top + 1 - rows), (top + 1, rows - top)):
        for c, wc in ((left, left + 1 - columns), (left + 1, columns - left)):
            inside = (r >= 0) & (r < height) & (c >= 0) & (c < width)
            at = r.clamp(0, height - 1).to(torch.int64) * width + c.clamp(0, width - 1).to(torch.int64)
            flat = at.reshape(*at.shape[: x.dim() - 2], -1)
            values = torch.gather(x.flatten(-2).expand(*flat.shape[:-1], -1), -1, flat).reshape(at.shape)
            total = total + torch.where(inside, values * wr * wc, 0)
    return total


@op("RoiAlign")
def _roi_align(call: Call) -> Fn:
    out_h, out_w = call.get("output_height", 1), call.get("output_width", 1)
    scale, ratio, mode = call.get("spatial_scale", 1.0), call.get("sampling_ratio", 0), call.get("mode", "avg")
    half_pixel = call.get("coordinate_transformation_mode", "output_half_pixel") == "half_pixel"
    shift = 0.5 if half_pixel else 0.0

    def one(x: Any, roi: Any) -> Any:
        left, top, right, bottom = (roi * scale - shift).tolist()
        width, height = right - left, bottom - top
        if not half_pixel:
            width, height = max(width, 1.0), max(height, 1.0)
        bin_h, bin_w = height / out_h, width / out_w
        n_h = ratio if ratio > 0 else -int(-height // out_h)
        n_w = ratio if ratio > 0 else -int(-width // out_w)
        rows = top + (torch.arange(out_h * n_h, device=x.device, dtype=x.dtype) + 0.5) * bin_h / n_h
        columns = left + (torch.arange(out_w * n_w, device=x.device, dtype=x.dtype) + 0.5) * bin_w / n_w
        (r0, r1, wr), (c0, c1, wc) = _edges(rows, x.shape[-2]), _edges(columns, x.shape[-1])
        corners = [
            x[:, r][:, :, c] * (a[:, None] * b[None, :])
            for r, a in ((r0, wr[0]), (r1, wr[1]))
            for c, b in ((c0, wc[0]), (c1, wc[1]))
        ]
        grid = (-1, out_h, n_h, out_w, n_w)
        if mode == "max":
            # The specification takes the maximum over the weighted corners, each by itself.
            return torch.stack([corner.reshape(grid).amax((2, 4)) for corner in corners]).amax(0)
        return sum(corners).reshape(grid).mean((2, 4))

    def run(x: Any, rois: Any, batch: Any) -> Any:
        items = [one(x[int(b)], roi) for roi, b in zip(rois, batch, strict=True)]
        return torch.stack(items) if items else x.new_zeros(0, x.shape[1], out_h, out_w)

    return run


def _edges(at: Any, size: int) -> tuple[Any, Any, tuple[Any, Any]]:
    """Neighbours and weights along one axis; what lies up to one pixel outside takes the edge, further out zero."""
    inside = ((at >= -1) & (at <= size)).to(at.dtype)
    at = at.clamp(0, size - 1)
    low = at.floor()
    high = (low + 1).clamp(max=size - 1)
    part = at - low
    return low.to(torch.int64), high.to(torch.int64), ((1 - part) * inside, part * inside)


@op("DeformConv")
def _deform_conv(call: Call) -> Fn:
    win = window(dict(call.node.attributes), kernel_of(call))
    if len(win.kernel) != 2:
        raise call.unsupported("spatial axes other than two")
    groups, offset_groups = call.get("group", 1), call.get("offset_group", 1)
    (kh, kw), (sh, sw), (dh, dw) = win.kernel, win.strides, win.dilations

    def run(x: Any, w: Any, offset: Any, b: Any = None, mask: Any = None) -> Any:
        n, channels, height, width = x.shape
        (ph, pw), _ = win.explicit((height, width))
        oh, ow = win.output_sizes((height, width))
        taps = kh * kw
        rows = (torch.arange(oh, device=x.device) * sh - ph)[None, :, None]
        columns = (torch.arange(ow, device=x.device) * sw - pw)[None, None, :]
        tap = torch.arange(taps, device=x.device)[:, None, None]
        offsets = offset.reshape(n, offset_groups, taps, 2, oh, ow)
        at_r = (rows + tap // kw * dh) + offsets[:, :, :, 0]
        at_c = (columns + tap % kw * dw) + offsets[:, :, :, 1]
        per = channels // offset_groups
        grouped = x.reshape(n, offset_groups, per, height, width)
        at_r, at_c = (a.unsqueeze(2).expand(n, offset_groups, per, taps, oh, ow) for a in (at_r, at_c))
        sampled = bilinear(grouped, at_r, at_c)
        if mask is not None:
            sampled = sampled * mask.reshape(n, offset_groups, 1, taps, oh, ow)
        # One product for each group: [out / group, in / group * taps] by [.., oh * ow].
        columns_ = sampled.reshape(n, groups, channels // groups * taps, oh * ow)
        y = torch.matmul(w.reshape(groups, w.shape[0] // groups, -1), columns_).reshape(n, w.shape[0], oh, ow)
        return y if b is None else y + b.reshape(1, -1, 1, 1)

    return run


@op("NonMaxSuppression")
def _nms(call: Call) -> Fn:
    centre = call.get("center_point_box", 0)

    def run(boxes: Any, scores: Any, limit: Any = None, iou: Any = None, least: Any = None) -> Any:
        most = 0 if limit is None else int(limit)
        threshold = 0.0 if iou is None else float(iou)
        chosen = []
        for batch in range(scores.shape[0]):
            corners = _corners(boxes[batch], centre)
            for label in range(scores.shape[1]):
                for at in _suppress(corners, scores[batch, label], most, threshold, least):
                    chosen.append([batch, label, at])
        return torch.tensor(chosen, dtype=torch.int64, device=boxes.device).reshape(-1, 3)

    return run


def _corners(boxes: Any, centre: int) -> Any:
    """Boxes as (low, low, high, high); a diagonal may be given either way round."""
    if centre:
        x, y, w, h = boxes.unbind(-1)
        return torch.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], -1)
    low, high = torch.minimum(boxes[:, :2], boxes[:, 2:]), torch.maximum(boxes[:, :2], boxes[:, 2:])
    return torch.cat([low, high], -1)


def _suppress(corners: Any, scores: Any, most: int, threshold: float, least: Any) -> list[int]:
    order = torch.argsort(scores, descending=True, stable=True)
    if least is not None:
        order = order[scores[order] > least.reshape(())]
    kept: list[int] = []
    while order.numel() and len(kept) < most:
        best, order = order[0], order[1:]
        kept.append(int(best))
        box, others = corners[best], corners[order]
        sides = (torch.minimum(box[2:], others[:, 2:]) - torch.maximum(box[:2], others[:, :2])).clamp(min=0)
        shared = sides.prod(-1)
        areas = (others[:, 2:] - others[:, :2]).prod(-1) + (box[2:] - box[:2]).prod()
        order = order[~(shared > threshold * (areas - shared))]
    return kept
