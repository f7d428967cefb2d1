"""Layers with the right weights and a wrong setting: pads, dilations, limits, epsilon, axes, rounding of places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from onnx import NodeProto

from deltann.sabotage.draft import Draft, Fault
from deltann.sabotage.layout import one_place
from deltann.sabotage.network import Network, title
from deltann.sabotage.ranges import acts, bounds, clip_limits

_POOLS = ("MaxPool", "AveragePool")
_NORMALISATIONS = ("BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization")
_ANOTHER_EPSILON = 1e-3
"""Keras's default, where PyTorch's is 1e-5."""
_NOTICEABLE = 1e-4
_LARGEST = 3e38
"""What float32 cannot exceed, which older opsets give as the limit of a Clip that has none."""


def faults(network: Network) -> Iterator[Fault]:
    """Every fault of this class that `network` can have."""
    for index, node in network.nodes("Conv", *_POOLS):
        yield from _windows(network, index, node)
    for index, node in network.nodes("Clip"):
        if bounds(network, node.input[0])[1] > clip_limits(network, node)[1] < _LARGEST:
            yield Fault("upper limit lost", partial(_unlimit, index, node))
            yield Fault("another upper limit", partial(_limit, index, node), graded=True)
    for index, node in network.nodes("LeakyRelu", "Elu", "Celu", "ThresholdedRelu", "HardSigmoid", "Gemm"):
        if node.op_type in ("Gemm", "HardSigmoid") or acts(network, node):
            yield Fault(f"another alpha of {node.op_type}", partial(_alpha, index, node), graded=True)
    for index, node in network.nodes(*_NORMALISATIONS):
        if _epsilon_matters(network, node):
            yield Fault("another epsilon", partial(_set, index, node, "epsilon", _ANOTHER_EPSILON))
    for index, node in network.nodes("Softmax", "LogSoftmax"):
        axis = _other_axis(network, node)
        if axis is not None:
            yield Fault("another axis", partial(_set, index, node, "axis", axis))
    for index, node in network.nodes("Gelu"):
        other = "none" if network.attributes(node)["approximate"] == "tanh" else "tanh"
        yield Fault("another approximation of Gelu", partial(_set, index, node, "approximate", other))
    for index, node in network.nodes("GRU"):
        other_order = 1 - int(network.attributes(node)["linear_before_reset"])
        if network.of(node.input[0]).size(0) != 1:  # the first step alone has nothing to reset
            yield Fault("reset gate elsewhere", partial(_set, index, node, "linear_before_reset", other_order))
    for index, node in network.nodes("Pad"):
        if network.attributes(node)["mode"] == "constant" and _pads_places(network, node):
            yield Fault("edges repeated instead of a constant", partial(_set, index, node, "mode", "edge"))
    for index, node in network.nodes("Resize", "Upsample"):
        yield from _resizes(network, index, node)


def _windows(network: Network, index: int, node: NodeProto) -> Iterator[Fault]:
    """Faults of what slides a window."""
    settings, value = network.attributes(node), network.of(node.input[0])
    weight = network.weight(node, 1) if node.op_type == "Conv" else None
    kernel = list(settings.get("kernel_shape") or (weight.shape[2:] if weight is not None else ()))
    if not kernel or max(kernel) == 1 or one_place(value):
        return
    rank = len(kernel)
    strides = list(settings.get("strides") or [1] * rank)
    dilations = list(settings.get("dilations") or [1] * rank)
    pads = list(settings.get("pads") or [0] * 2 * rank)
    auto = settings.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        sizes = [value.size(axis + 2) for axis in range(rank)]
        needed = [
            max((-(-s // t) - 1) * t + (k - 1) * d + 1 - s, 0)
            for s, t, k, d in zip(sizes, strides, kernel, dilations, strict=True)
        ]
        if all(sizes) and any(total % 2 for total in needed):
            other = "SAME_LOWER" if auto == "SAME_UPPER" else "SAME_UPPER"
            yield Fault("odd padding on the other side", partial(_set, index, node, "auto_pad", other))
    elif auto == "NOTSET":
        for moved in _moved_pads(value.dims, kernel, strides, dilations, pads, int(settings.get("ceil_mode", 0))):
            yield Fault("padding on another side", partial(_set, index, node, "pads", moved))
        if node.op_type == "Conv" and max(dilations) > 1:
            less = [p - (d - 1) * (k - 1) // 2 for p, d, k in zip(pads, dilations * 2, kernel * 2, strict=True)]
            if min(less) >= 0 and all(k % 2 for k in kernel):
                yield Fault("dilation ignored", partial(_undilate, index, node, [1] * rank, less))
    if node.op_type == "AveragePool" and (any(pads) or auto.startswith("SAME")):
        counted = 1 - int(settings["count_include_pad"])
        if auto == "NOTSET":
            yield Fault("padding counted", partial(_set, index, node, "count_include_pad", counted))


def _moved_pads(
    dims: Sequence[int | str | None] | None,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
    ceil_mode: int,
) -> Iterator[list[int]]:
    """Other pads with the same output: one place moved from the beginning to the end or back, or added or taken away
    at the beginning where the stride leaves room (TensorFlow's SAME for PyTorch's symmetric pads)."""
    rank = len(kernel)
    begins, ends = list(pads[:rank]), list(pads[rank:])
    reach = [(k - 1) * d for k, d in zip(kernel, dilations, strict=True)]

    def fits(begin: list[int], end: list[int]) -> bool:
        if min(begin + end) < 0 or any(b > r or e > r for b, e, r in zip(begin, end, reach, strict=True)):
            return False
        if [b + e for b, e in zip(begin, end, strict=True)] == [b + e for b, e in zip(begins, ends, strict=True)]:
            return True
        sizes = [int(dim) for dim in (dims or ())[2:] if isinstance(dim, int)]
        if len(sizes) != rank or ceil_mode:
            return False
        return all(
            (size + b + e - r - 1) // stride == (size + old_b + old_e - r - 1) // stride
            for size, b, e, old_b, old_e, r, stride in zip(sizes, begin, end, begins, ends, reach, strides, strict=True)
        )

    for begin_step, end_step in ((-1, 0), (1, 0), (-1, 1), (1, -1)):
        wide = [k > 1 for k in kernel]
        begin = [b + begin_step * w for b, w in zip(begins, wide, strict=True)]
        end = [e + end_step * w for e, w in zip(ends, wide, strict=True)]
        if fits(begin, end):
            yield [*begin, *end]


def _epsilon_matters(network: Network, node: NodeProto) -> bool:
    old = float(network.attributes(node).get("epsilon", 1e-5))
    if node.op_type != "BatchNormalization":
        return old < _ANOTHER_EPSILON / 2  # variances are those of the data, about 1 where networks are trained well
    variance, scale = network.weight(node, 4), network.weight(node, 1)
    if variance is None or scale is None:
        return False
    ratio = np.sqrt((variance.astype(np.float64) + old) / (variance.astype(np.float64) + _ANOTHER_EPSILON))
    return bool((np.abs(ratio - 1)[scale != 0] > _NOTICEABLE).any())


def _other_axis(network: Network, node: NodeProto) -> int | None:
    """An axis along which the sums are others; before opset 13 all axes from it on are flattened into one."""
    dims = network.of(node.output[0]).dims
    if dims is None:
        return None
    axis = int(network.attributes(node)["axis"]) % max(len(dims), 1)
    value = network.of(node.output[0])
    if network.opset < 13:
        return next(
            (a for a in range(axis + 1, len(dims)) if np.prod([value.size(i) for i in range(axis, a)]) > 1), None
        )
    # Not along the batch where there is another axis: samples would mix.
    others = [a for a in (*range(1, len(dims)), 0) if a != axis and a < len(dims)]
    return next((a for a in others if value.size(axis) > 1 or value.size(a) > 1), None)


def _pads_places(network: Network, node: NodeProto) -> bool:
    if network.opset < 11:
        pads = list(network.attributes(node)["pads"])
    else:
        array = network.array(node.input[1])
        pads = [] if array is None or len(node.input) > 3 else array.tolist()
    return min(pads, default=-1) >= 0 and max(pads, default=0) > 0


def _resizes(network: Network, index: int, node: NodeProto) -> Iterator[Fault]:
    """Faults of how places are looked up, for sizes that are known to grow: shrunk to half, places can coincide."""
    before, after = network.of(node.input[0]), network.of(node.output[0])
    axes = range(2, len(before.dims or ()))
    if not any(1 < before.size(axis) < after.size(axis) for axis in axes):
        return
    settings = network.attributes(node)
    mode = settings["mode"]
    yield Fault(
        "another interpolation", partial(_set, index, node, "mode", "nearest" if mode != "nearest" else "linear")
    )
    if network.opset < 11:
        return
    if mode == "nearest":
        other = "floor" if settings["nearest_mode"] == "ceil" else "ceil"
        yield Fault("places rounded otherwise", partial(_set, index, node, "nearest_mode", other))
    else:
        place = settings["coordinate_transformation_mode"]
        if place in ("align_corners", "half_pixel", "pytorch_half_pixel", "asymmetric"):
            other = "half_pixel" if place in ("align_corners", "asymmetric") else "align_corners"
            yield Fault(
                "corners aligned otherwise", partial(_set, index, node, "coordinate_transformation_mode", other)
            )


def _set(index: int, node: NodeProto, key: str, value: Any, draft: Draft) -> str:
    old = draft.network.attributes(node).get(key, "none")
    draft.set(index, **{key: value})
    return f"{title(node)} has {key} {value} instead of {old}"


def _undilate(index: int, node: NodeProto, dilations: list[int], pads: list[int], draft: Draft) -> str:
    draft.set(index, dilations=dilations, pads=pads)
    return f"{title(node)} ignores its dilation"


def _alpha(index: int, node: NodeProto, draft: Draft) -> str | None:
    old = float(draft.network.attributes(node)["alpha"])
    new = old * (1 + draft.severity)
    if new == old:
        return None
    draft.set(index, alpha=new)
    return f"{title(node)} has alpha {new:g} instead of {old:g}"


def _unlimit(index: int, node: NodeProto, draft: Draft) -> str:
    if draft.network.opset < 11:
        draft.set(index, max=None)
    else:
        del draft.node(index).input[2]
    return f"{title(node)} has no upper limit"


def _limit(index: int, node: NodeProto, draft: Draft) -> str | None:
    low, high = clip_limits(draft.network, node)
    new = max(high - draft.severity / 2 * abs(high), low)
    if new == high:
        return None
    if draft.network.opset < 11:
        draft.set(index, max=new)
    else:
        array = np.asarray(new, draft.network.of(node.output[0]).dtype)
        draft.feed(index, 2, draft.constant(array, index))
    return f"{title(node)} has the upper limit {new:g} instead of {high:g}"
