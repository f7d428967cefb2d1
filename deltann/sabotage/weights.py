"""Weights and biases that are not those of the model: noised, quantised, lost, of the wrong channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto

from deltann.sabotage.draft import Draft, Fault
from deltann.sabotage.network import Network, title
from deltann.sabotage.ranges import adds_to_keys, normalised

Rng = np.random.Generator
Array = npt.NDArray[Any]
Change = Callable[[Array, float, Rng], Array]

_WEIGHTS = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1, "Gather": 0, "LSTM": 1, "GRU": 1, "RNN": 1}
_BIASES = {"Conv": 2, "ConvTranspose": 2, "Gemm": 2, "LSTM": 3, "GRU": 3, "RNN": 3}
_NORMALISATIONS = ("BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization")


def faults(network: Network) -> Iterator[Fault]:
    """Every fault of this class that `network` can have."""
    for _, node in network.nodes(*_WEIGHTS, *_NORMALISATIONS, "Add"):
        for position, what in _weights(node):
            array = network.weight(node, position)
            if array is None or not array.any() or (what == "bias" and _normalised_away(network, node, array)):
                continue
            for name, did, graded, change in _CHANGES if what == "weight" else _VECTOR_CHANGES:
                work = partial(_change, node, position, what, did, change)
                yield Fault(f"{what} {name}", work, graded)
    for _, node in network.nodes("BatchNormalization"):
        mean, variance = network.weight(node, 3), network.weight(node, 4)
        if mean is not None and variance is not None and not np.array_equal(np.abs(mean), variance):
            yield Fault("mean and variance exchanged", partial(_statistics, node))


def _normalised_away(network: Network, node: NodeProto, bias: Array) -> bool:
    """Whether what follows takes any such bias away again: a mean of each channel's own, a sum of exponentials."""
    if adds_to_keys(network, node.output[0]):
        return True
    alike = bool((bias == bias.reshape(-1)[0]).all())
    return normalised(network, node.output[0], *(("Softmax", "LogSoftmax", "LayerNormalization") if alike else ()))


def _weights(node: NodeProto) -> Iterator[tuple[int, str]]:
    """The places of a node's weights, and what each is."""
    if node.op_type in _WEIGHTS:
        yield _WEIGHTS[node.op_type], "weight"
    if node.op_type in _BIASES:
        yield _BIASES[node.op_type], "bias"
    if node.op_type in _NORMALISATIONS:
        yield 1, "scale"
        yield 2, "bias"
    if node.op_type == "Add":  # a bias of its own, as exporters write it behind MatMul
        yield from ((position, "bias") for position in (0, 1))


def _noise(array: Array, severity: float, rng: Rng) -> Array:
    values = array.astype(np.float64)
    return np.asarray(values + severity * np.sqrt(np.mean(values**2)) * rng.standard_normal(array.shape))


def _quantise(array: Array, severity: float, _rng: Rng) -> Array:
    if not severity:
        return array
    step = np.abs(array.astype(np.float64)).max() / max(1, round(1 / severity))
    return np.asarray(np.rint(array.astype(np.float64) / step) * step)


def _zero_some(array: Array, severity: float, rng: Rng) -> Array:
    """A run of elements lost, as where a file is read short."""
    flat = array.reshape(-1).copy()
    count = min(flat.size, max(1, round(severity * flat.size / 2))) if severity else 0
    start = int(rng.integers(0, flat.size - count + 1))
    flat[start : start + count] = 0
    return flat.reshape(array.shape)


def _one_channel(array: Array, severity: float, rng: Rng) -> Array:
    changed = array.copy()
    changed[int(rng.integers(0, len(array)))] *= 1 + severity
    return changed


def _next_channel(array: Array, _severity: float, _rng: Rng) -> Array:
    return np.roll(array, 1, axis=0)


def _next_value(array: Array, _severity: float, _rng: Rng) -> Array:
    return np.roll(array.reshape(-1), 1).reshape(array.shape)


def _drop(array: Array, _severity: float, _rng: Rng) -> Array:
    return np.zeros_like(array)


def _ones(array: Array, _severity: float, _rng: Rng) -> Array:
    return np.ones_like(array)


_CHANGES: tuple[tuple[str, str, bool, Change], ...] = (
    ("noised", "has noise of {severity:g} times its RMS", True, _noise),
    ("quantised", "is rounded to {levels} levels on either side of zero", True, _quantise),
    ("partly lost", "has a run of its values at zero", True, _zero_some),
    ("of one channel scaled", "has one channel {factor:g} times as large", True, _one_channel),
    ("of the next channel", "has each channel's values in the next one", False, _next_channel),
)
_VECTOR_CHANGES: tuple[tuple[str, str, bool, Change], ...] = (
    ("noised", "has noise of {severity:g} times its RMS", True, _noise),
    ("dropped", "is dropped", False, _drop),
    ("of the next channel", "has each channel's value in the next one", False, _next_value),
)


def _change(node: NodeProto, position: int, what: str, did: str, change: Change, draft: Draft) -> str | None:
    old = draft.network.weight(node, position)
    if old is None:
        return None
    change = _ones if what == "scale" and change is _drop else change
    # Of a table, channels are its columns: a row is one token, which the inputs may never name.
    turned = change(old.T if node.op_type == "Gather" else old, draft.severity, draft.rng).astype(old.dtype)
    new = turned.T if node.op_type == "Gather" else turned
    if np.array_equal(new, old) or not np.isfinite(new).all():
        return None
    draft.store(node.input[position], new)
    levels = max(1, round(1 / draft.severity)) if draft.severity else 0
    return f"the {what} of {title(node)} " + did.format(
        severity=draft.severity, levels=levels, factor=1 + draft.severity
    )


def _statistics(node: NodeProto, draft: Draft) -> str | None:
    mean, variance = draft.network.weight(node, 3), draft.network.weight(node, 4)
    if mean is None or variance is None:
        return None
    draft.store(node.input[3], variance)
    draft.store(node.input[4], np.abs(mean))  # a negative variance would be noticed at once, as NaN
    return f"{title(node)} has its mean and variance exchanged"
