"""Inputs of the right size that show something else: cropped, stretched, shifted, height and width exchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from deltann.sabotage.draft import Draft, Fault
from deltann.sabotage.network import Network
from deltann.sabotage.preprocessing import channel_axis

Positions = npt.NDArray[np.int64]
"""For each place along an axis, the place that its value is taken from."""


def faults(network: Network) -> Iterator[Fault]:
    """Every fault of this class that `network` can have: each needs sizes that are fixed."""
    for name in network.inputs:
        value = network.of(name)
        if not network.downstream(name) or not value.dims:
            continue
        channel = channel_axis(value)
        axes = {1: [0], 2: [1], 3: [1], 4: [1, 2] if channel == 3 else [2, 3]}.get(len(value.dims), [2, 3, 4])
        if len(value.dims) == 4 and channel != 3:
            height, width = (value.size(axis) for axis in axes)
            if min(height, width) > 1 and tells_axes(network, name):
                yield Fault("height and width exchanged", partial(_exchange, name, height, width))
        if all(value.size(axis) > 1 for axis in axes):
            for fault, positions in _REMAPS.items():
                yield Fault(fault, partial(_remap, name, axes, fault, positions), graded=True)


def tells_axes(network: Network, name: str) -> bool:
    """Whether something behind the value treats height otherwise than width."""
    for index in network.downstream(name):
        node = network.graph.node[index]
        weight = network.weight(node, 1) if node.op_type in ("Conv", "ConvTranspose") else None
        if weight is not None and weight.ndim == 4 and not same_transposed(weight):
            return True
        value = network.of(node.input[0])
        if node.op_type in ("Flatten", "Reshape") and value.size(2) * value.size(3) > 1:
            return True
    return False


def same_transposed(kernel: npt.NDArray[Any]) -> bool:
    """Whether a kernel [O, I, H, W] equals itself with height and width exchanged."""
    return np.array_equal(kernel, kernel.swapaxes(2, 3))


def _exchange(name: str, height: int, width: int, draft: Draft) -> str:
    # The bytes of a picture of that width and height, read as if they were of this height and width.
    read = draft.add("Reshape", name, np.array([0, 0, width, height]))
    draft.reread(name, draft.add("Transpose", read, perm=[0, 1, 3, 2]))
    return f"'{name}' is read as {width}×{height} instead of {height}×{width}, and transposed"


def _shift(size: int, severity: float) -> Positions:
    return np.arange(size) - max(1, round(size * severity / 8))


def _crop(size: int, severity: float) -> Positions:
    shown = 1 - severity / 2
    places = (np.arange(size) + 0.5) * shown + (1 - shown) / 2 * size
    taken: Positions = np.floor(places).astype(np.int64)
    return taken


def _truncate(size: int, severity: float) -> Positions:
    # At least a few: of the last places, a stride may leave some unread.
    return np.minimum(np.arange(size), size - 1 - max(1, size // 32, round(size * severity / 2)))


def _shrink(size: int, severity: float) -> Positions:
    small = min(size - 1, round(size * (1 - 0.75 * severity)))
    positions: Positions = np.arange(size) * small // size * size // max(small, 1)
    return positions


_REMAPS: dict[str, Callable[[int, float], Positions]] = {
    "shifted": _shift,
    "cropped and stretched": _crop,
    "truncated": _truncate,
    "resized from a smaller one": _shrink,
}


def _remap(
    name: str,
    axes: list[int],
    fault: str,
    positions: Callable[[int, float], Positions],
    draft: Draft,
) -> str | None:
    if not draft.severity:
        return None
    value, current, lost = draft.network.of(name), name, []
    for axis in axes:
        size = value.size(axis)
        taken = np.clip(positions(size, draft.severity), 0, size - 1)
        if np.array_equal(taken, np.arange(size)):
            continue
        lost.append(f"{size - len(set(taken.tolist()))} of {size}")
        current = draft.add("Gather", current, taken, axis=axis)
    if current == name:
        return None
    draft.reread(name, current)
    return f"'{name}' is {fault}: {' and '.join(lost)} places along its axes are lost"
