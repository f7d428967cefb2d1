"""Shape arithmetic of ONNX operators: Reshape's special sizes, Slice's clamping, negative axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Ints = Sequence[int]


def axis_of(axis: int, rank: int) -> int:
    """A non-negative axis.

    Raises:
        ValueError: the axis lies outside `[-rank, rank)`.
    """
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} lies outside a tensor of rank {rank}")
    return axis + rank if axis < 0 else axis


def axes_of(axes: Ints | None, rank: int) -> tuple[int, ...]:
    """Non-negative axes in the given order; all of them for None."""
    return tuple(range(rank)) if axes is None else tuple(axis_of(axis, rank) for axis in axes)


def reshape(target: Ints, shape: Ints, allowzero: bool = False) -> tuple[int, ...]:
    """Reshape's target with its zeros (sizes kept, unless `allowzero`) and its -1 resolved against the input."""
    sizes = [shape[i] if size == 0 and not allowzero else size for i, size in enumerate(target)]
    if -1 in sizes:
        known = prod([size for size in sizes if size != -1])  # a list: Dynamo traces no generator here
        sizes[sizes.index(-1)] = prod(shape) // known if known else 0
    return tuple(sizes)


def slices(
    shape: Ints, starts: Ints, ends: Ints, axes: Ints | None = None, steps: Ints | None = None
) -> dict[int, tuple[int, int, int]]:
    """Slice's (start, stop, step) by axis, clamped as the specification says; the stop of a negative step may be -1."""
    chosen = axes_of(range(len(starts)) if axes is None else axes, len(shape))
    result = {}
    for axis, start, end, step in zip(chosen, starts, ends, steps or [1] * len(starts), strict=True):
        size = shape[axis]
        start, end = (start + size if start < 0 else start), (end + size if end < 0 else end)
        if step > 0:
            result[axis] = (min(max(start, 0), size), min(max(end, 0), size), step)
        else:
            result[axis] = (min(max(start, 0), size - 1), min(max(end, -1), size - 1), step)
    return result


def pad_pairs(pads: Ints, axes: Ints | None, rank: int) -> list[tuple[int, int]]:
    """Pad's (before, after) for every axis of a tensor of `rank`; axes that are not named get none."""
    chosen = axes_of(axes, rank)
    pairs = [(0, 0)] * rank
    for position, axis in enumerate(chosen):
        pairs[axis] = (int(pads[position]), int(pads[position + len(chosen)]))
    return pairs
