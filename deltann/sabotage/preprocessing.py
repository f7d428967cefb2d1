"""Inputs prepared otherwise than the model was trained on: colours, mean, scale, levels, token ids."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from deltann.sabotage.draft import Draft, Fault
from deltann.sabotage.network import Network, Value
from deltann.sabotage.ranges import normalised

Array = npt.NDArray[Any]
_TINY = 1e-6
_COLOURS = (1, 3, 4)
_MEANS = (0.25, -0.125, 0.1875)
_UNKNOWN = 2


def faults(network: Network) -> Iterator[Fault]:
    """Every fault of this class that `network` can have."""
    for name in network.inputs:
        value = network.of(name)
        if not network.downstream(name):
            continue
        channel = channel_axis(value)
        if channel is not None and value.size(channel) >= 3 and _tells_channels(network, name):
            yield Fault("channels reversed", partial(_reverse, name, channel))
        if value.floating and value.dims:
            yield Fault("input quantised", partial(_levels, name), graded=True)
        if value.floating and value.dims and not normalised(network, name, "LayerNormalization", "GroupNormalization"):
            yield Fault("another scale", partial(_scale, name), graded=True)
            yield Fault("another mean", partial(_mean, name, channel), graded=True)
            if channel is not None and value.size(channel) == 3:
                yield Fault("another standard deviation a channel", partial(_deviations, name, channel), graded=True)
        rows = _vocabulary(network, name) if value.integer else 0
        if rows > _UNKNOWN + 1:
            yield Fault("token ids shifted by one", partial(_shift_ids, name, rows))
            yield Fault("rare tokens unknown", partial(_forget_ids, name, rows), graded=True)


def channel_axis(value: Value) -> int | None:
    """Where an image's channels are; None for what is no image."""
    if len(value.dims or ()) != 4:
        return None
    return next((axis for axis in (1, 3) if value.size(axis) in _COLOURS), None)


def _tells_channels(network: Network, name: str) -> bool:
    """Whether some weight behind the input differs along the axis that it sums over."""
    for index in network.downstream(name):
        node = network.graph.node[index]
        axis = {"Conv": 1, "ConvTranspose": 0, "Gemm": 0, "MatMul": 0}.get(node.op_type)
        weight = network.weight(node, 1) if axis is not None else None
        if weight is not None and axis is not None and weight.ndim > axis:
            reversed_ = np.flip(weight, axis)
            first = name in node.input
            if not np.array_equal(weight, reversed_):
                return True
            if first:
                return False
    return False


def _vocabulary(network: Network, name: str) -> int:
    """How many rows the table has that the ids look up; 0 where there is none."""
    for index in network.readers.get(name, ()):
        node = network.graph.node[index]
        table = network.weight(node, 0) if node.op_type == "Gather" else None
        if table is not None and table.ndim == 2 and node.input[1] == name and not network.attributes(node)["axis"]:
            return len(table)
    return 0


def _reverse(name: str, axis: int, draft: Draft) -> str:
    order = np.arange(draft.network.of(name).size(axis))
    order[:3] = order[2::-1]  # a fourth channel is opacity, and stays
    draft.reread(name, draft.add("Gather", name, order, axis=axis))
    return f"the channels of '{name}' are in the order BGR instead of RGB"


def _scale(name: str, draft: Draft) -> str:
    factor = np.asarray(1 + draft.severity, draft.network.of(name).dtype)
    draft.reread(name, draft.add("Mul", name, factor))
    return f"'{name}' is {float(factor):g} times as large"


def _per_channel(value: Value, channel: int | None, values: tuple[float, ...]) -> Array:
    """The three values along the channels of a three-channel image, the first of them for all else."""
    if channel is None or value.size(channel) != 3:
        return np.asarray(values[0], value.dtype)
    shape = [1] * len(value.dims or ())
    shape[channel] = 3
    return np.asarray(values, value.dtype).reshape(shape)


def _largest(name: str, draft: Draft) -> str | Array:
    """The largest value of each sample, which says in what unit the input is; 1 where a sample is one value."""
    value = draft.network.of(name)
    axes = list(range(1, len(value.dims or ())))
    if not axes:
        return np.asarray(1, value.dtype)
    if draft.network.opset < 18:
        return draft.add("ReduceMax", draft.add("Abs", name), axes=axes)
    return draft.add("ReduceMax", draft.add("Abs", name), np.asarray(axes))


def _mean(name: str, channel: int | None, draft: Draft) -> str:
    value = draft.network.of(name)
    share = _per_channel(value, channel, tuple(draft.severity * mean for mean in _MEANS))
    offset = draft.add("Mul", _largest(name, draft), share)
    draft.reread(name, draft.add("Add", name, offset))
    return f"the mean of '{name}' is off by {draft.severity * _MEANS[0]:.2g} of its largest value"


def _deviations(name: str, channel: int, draft: Draft) -> str:
    factors = _per_channel(draft.network.of(name), channel, (1 + 0.3 * draft.severity, 1.0, 1 - 0.3 * draft.severity))
    draft.reread(name, draft.add("Mul", name, factors))
    return f"the channels of '{name}' are scaled by 1 ± {0.3 * draft.severity:.2g}, each by another factor"


def _levels(name: str, draft: Draft) -> str | None:
    if not draft.severity:
        return None
    value, levels = draft.network.of(name), max(2, round(4 / draft.severity))
    largest = draft.add("Add", _largest(name, draft), np.asarray(_TINY, value.dtype))
    step = draft.add("Mul", largest, np.asarray(1 / levels, value.dtype))
    steps = draft.add("Floor", draft.add("Add", draft.add("Div", name, step), np.asarray(0.5, value.dtype)))
    draft.reread(name, draft.add("Mul", steps, step))
    return f"'{name}' is rounded to {levels} levels on either side of zero"


def _shift_ids(name: str, rows: int, draft: Draft) -> str:
    table = np.maximum(np.arange(rows) - 1, 0).astype(draft.network.of(name).dtype)
    draft.reread(name, draft.add("Gather", table, name, axis=0))
    return f"the token ids of '{name}' are one too small"


def _forget_ids(name: str, rows: int, draft: Draft) -> str | None:
    ids = np.arange(rows)
    known = round(rows * (1 - draft.severity / 2))
    if known >= rows:
        return None
    table = np.where(ids < known, ids, _UNKNOWN).astype(draft.network.of(name).dtype)
    draft.reread(name, draft.add("Gather", table, name, axis=0))
    return f"'{name}' knows {known} of {rows} tokens; the others have the id {_UNKNOWN}"
