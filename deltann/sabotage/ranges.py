"""Bounds that a value cannot leave whatever the input, so that no fault is made that could never show."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import NodeProto

from deltann.sabotage.network import Network

Bounds = tuple[float, float]
_ANY: Bounds = (-math.inf, math.inf)
_KEEP = {"Identity", "Dropout", "MaxPool", "GlobalAveragePool", "GlobalMaxPool", "Flatten", "Reshape", "Transpose"}
_KEEP |= {"Squeeze", "Unsqueeze", "Slice", "Gather", "Expand", "Tile", "DepthToSpace", "SpaceToDepth", "Split"}
_ZERO_TO_ONE = {"Sigmoid", "HardSigmoid", "Softmax"}
_POSITIVE = {"Abs", "Exp", "Sqrt", "Softplus"}
_DEEPEST = 20


def bounds(network: Network, name: str, depth: int = _DEEPEST) -> Bounds:
    """The least and the greatest value that `name` can hold, as far as its last operators tell."""
    array = network.array(name)
    if array is not None and array.size:
        return float(array.min()), float(array.max())
    node = network.maker(name)
    if node is None or not depth or not node.input or node.domain not in ("", "ai.onnx"):
        return _ANY

    def of(position: int) -> Bounds:
        return bounds(network, node.input[position], depth - 1)

    match node.op_type:
        case op if op in _KEEP:
            return of(0)
        case op if op in _ZERO_TO_ONE:
            return 0.0, 1.0
        case op if op in _POSITIVE:
            return 0.0, math.inf
        case "Tanh":
            return -1.0, 1.0
        case "Relu":
            low, high = of(0)
            return max(low, 0.0), max(high, 0.0)
        case "Clip":
            (low, high), (least, most) = of(0), clip_limits(network, node)
            return min(max(low, least), most), min(max(high, least), most)
        case "AveragePool":
            low, high = of(0)
            return min(low, 0.0), max(high, 0.0)
        case "Concat":
            parts = [of(position) for position in range(len(node.input))]
            return min(low for low, _ in parts), max(high for _, high in parts)
        case "Add":
            (a, b), (c, d) = of(0), of(1)
            return a + c, b + d
    return _ANY


def clip_limits(network: Network, node: NodeProto) -> Bounds:
    """The limits of a Clip: attributes before opset 11, inputs since; infinite where it has none or they are no
    constants."""
    if network.opset < 11:
        given: dict[str, Any] = network.attributes(node)
        return float(given.get("min", -math.inf)), float(given.get("max", math.inf))
    low, high = (network.weight(node, position) for position in (1, 2))
    return (
        -math.inf if low is None else float(np.min(low)),
        math.inf if high is None else float(np.min(high)),
    )


def acts(network: Network, node: NodeProto) -> bool:
    """Whether an activation can change anything: a Relu of what is never negative cannot."""
    low, high = bounds(network, node.input[0])
    match node.op_type:
        case "Relu" | "LeakyRelu" | "PRelu" | "ThresholdedRelu" | "Elu" | "Celu":
            return low < 0
        case "Clip":
            least, most = clip_limits(network, node)
            return low < least or high > most
        case "Identity" | "Dropout":
            return False
    return True


def normalised(network: Network, name: str, *others: str) -> bool:
    """Whether a constant added to each channel of the value is taken away again by all that read it."""
    readers = {network.graph.node[index].op_type for index in network.readers.get(name, ())}
    return bool(readers) and readers <= {"InstanceNormalization", "MeanVarianceNormalization", *others}


_REARRANGED = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Mul", "Div")
_SCORED = ("Mul", "Div", "Add", "Identity")


def adds_to_keys(network: Network, name: str) -> bool:
    """Whether the value is the keys of an attention: q·(k + b) is q·k and the same q·b for every key, and the softmax
    over the keys takes that away again."""
    product = _follow(network, name, _REARRANGED)
    if product is None or product.op_type != "MatMul" or product.input[1] not in _along(network, name, _REARRANGED):
        return False
    softmax = _follow(network, product.output[0], _SCORED)
    return softmax is not None and softmax.op_type == "Softmax"


def _along(network: Network, name: str, ops: tuple[str, ...]) -> list[str]:
    """The value and what the only readers of each, of these operators, make of it."""
    found = [name]
    while len(readers := network.readers.get(found[-1], ())) == 1:
        node = network.graph.node[readers[0]]
        if node.op_type not in ops:
            break
        found.append(node.output[0])
    return found


def _follow(network: Network, name: str, ops: tuple[str, ...]) -> NodeProto | None:
    """The first node of another operator along that way."""
    readers = network.readers.get(_along(network, name, ops)[-1], ())
    return network.graph.node[readers[0]] if len(readers) == 1 else None


def plain(network: Network, name: str) -> str:
    """The value that `name` equals: behind copies, and activations that cannot act."""
    node = network.maker(name)
    while node is not None and node.op_type in ("Identity", "Dropout", "Relu", "Clip") and not acts(network, node):
        name = node.input[0]
        node = network.maker(name)
    return name
