"""Graphs of other operators or other edges: an activation exchanged, a shortcut lost, inputs or outputs mixed up."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from onnx import NodeProto

from deltann.sabotage.draft import Draft, Fault
from deltann.sabotage.network import Network, Value, title
from deltann.sabotage.ranges import acts, plain

_ACTIVATIONS = (
    "Relu",
    "LeakyRelu",
    "PRelu",
    "Clip",
    "Sigmoid",
    "Tanh",
    "Elu",
    "Celu",
    "HardSigmoid",
    "Gelu",
    "HardSwish",
    "Softmax",
    "LogSoftmax",
    "Softplus",
    "Erf",
    "BatchNormalization",
)
_EXCHANGES: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "Relu": (("LeakyRelu", {"alpha": 0.1}), ("Sigmoid", {})),
    "Clip": (("Sigmoid", {}),),
    "LeakyRelu": (("Relu", {}),),
    "Sigmoid": (("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),),
    "HardSigmoid": (("Sigmoid", {}),),
    "Tanh": (("Sigmoid", {}), ("Softsign", {})),
    "Softmax": (("Sigmoid", {}),),
    "GlobalAveragePool": (("GlobalMaxPool", {}),),
    "GlobalMaxPool": (("GlobalAveragePool", {}),),
}
_TWICE = ("Softmax", "Sigmoid", "LogSoftmax", "Tanh")
_WIRED = ("Conv", "Add", "Mul", "Gemm", "MatMul", "Concat")


def faults(network: Network) -> Iterator[Fault]:
    """Every fault of this class that `network` can have."""
    for index, node in network.nodes(*_ACTIVATIONS):
        if acts(network, node) and len(node.output) == 1:
            yield Fault(f"{node.op_type} dropped", partial(_drop, index, node))
    for index, node in network.nodes(*_EXCHANGES):
        if _can_show(network, node):
            for op, attributes in _EXCHANGES[node.op_type]:
                yield Fault(f"{node.op_type} exchanged for {op}", partial(_exchange, index, node, op, attributes))
    for index, node in network.nodes("MaxPool", "AveragePool"):
        if _pools_alike(network, node):
            yield Fault(f"{node.op_type} exchanged for the other", partial(_pool, index, node))
    for index, node in network.nodes("Add", "Mul", "Sub", "MatMul"):
        yield from _operands(network, index, node)
    for index, node in network.nodes("ReduceMean"):
        if network.of(node.input[0]).dims != network.of(node.output[0]).dims:
            yield Fault("mean exchanged for maximum", partial(_reduce, index, node))
    for index, node in network.nodes("Concat"):
        if len({plain(network, name) for name in node.input}) > 1:
            yield Fault("parts joined in another order", partial(_join, index, node))
    for index, node in network.nodes(*_TWICE):
        yield Fault(f"{node.op_type} done twice", partial(_twice, index, node))
    yield from _wires(network)
    yield from _exchanged_outputs(network)


def _can_show(network: Network, node: NodeProto) -> bool:
    if node.op_type.startswith("Global"):
        value = network.of(node.input[0])
        return value.size(2) * max(value.size(3), 1) > 1
    return node.op_type not in ("Relu", "LeakyRelu") or acts(network, node)


def _drop(index: int, node: NodeProto, draft: Draft) -> str:
    draft.turn_into(index, "Identity")
    return f"{title(node)} is left out"


def _exchange(index: int, node: NodeProto, op: str, attributes: dict[str, Any], draft: Draft) -> str:
    draft.turn_into(index, op, **attributes)
    return f"{title(node)} is exchanged for {op}"


def _pools_alike(network: Network, node: NodeProto) -> bool:
    """Whether the other pooling takes the same settings at this opset."""
    settings = network.attributes(node)
    if len([name for name in node.output if name]) > 1 or int(np.prod(settings["kernel_shape"])) == 1:
        return False
    if settings.get("storage_order") or (settings.get("ceil_mode") and network.opset < 10):
        return False
    return all(dilation == 1 for dilation in settings.get("dilations") or ())


def _pool(index: int, node: NodeProto, draft: Draft) -> str:
    other = "AveragePool" if node.op_type == "MaxPool" else "MaxPool"
    keep = ("kernel_shape", "strides", "pads", "auto_pad", "ceil_mode")
    settings = {a.name: v for a in node.attribute for v in [draft.network.attributes(node)[a.name]] if a.name in keep}
    draft.turn_into(index, other, **settings)
    return f"{title(node)} is exchanged for {other}"


def _operands(network: Network, index: int, node: NodeProto) -> Iterator[Fault]:
    """Faults of what takes two values that the network computes, of one shape."""
    first, second = (network.of(name) for name in node.input[:2])
    made = network.of(node.output[0])
    if any(name in network.tensors for name in node.input) or first.dims is None:
        return
    if plain(network, node.input[0]) == plain(network, node.input[1]) and node.op_type != "Mul":
        return
    if node.op_type == "Add":
        yield Fault("sum exchanged for difference", partial(_binary, index, node, "Sub"))
    if node.op_type == "Mul":
        yield Fault("product exchanged for sum", partial(_binary, index, node, "Add"))
    if node.op_type in ("Add", "Mul"):
        yield from (
            Fault(f"{node.op_type} with one operand lost", partial(_lose, index, node, position))
            for position, value in enumerate((first, second))
            if value.dims == made.dims and None not in (value.dims or (None,))
        )
    square = _same(first, second) and first.size(len(first.dims) - 1) == first.size(len(first.dims) - 2) > 1
    if node.op_type == "Sub" or (node.op_type == "MatMul" and len(first.dims) > 1 and square):
        yield Fault("operands exchanged", partial(_swap, index, node))


def _same(first: Value, second: Value) -> bool:
    return first == second and first.dims is not None and None not in first.dims


def _binary(index: int, node: NodeProto, op: str, draft: Draft) -> str:
    draft.turn_into(index, op, inputs=2)
    return f"{title(node)} is exchanged for {op}"


def _lose(index: int, node: NodeProto, position: int, draft: Draft) -> str:
    kept = node.input[position]
    draft.turn_into(index, "Identity")
    draft.node(index).input[0] = kept
    return f"{title(node)} passes '{kept}' on alone"


def _swap(index: int, node: NodeProto, draft: Draft) -> str:
    inputs = draft.node(index).input
    inputs[0], inputs[1] = inputs[1], inputs[0]
    return f"{title(node)} has its operands exchanged"


def _reduce(index: int, node: NodeProto, draft: Draft) -> str:
    draft.node(index).op_type = "ReduceMax"
    return f"{title(node)} is exchanged for ReduceMax"


def _join(index: int, node: NodeProto, draft: Draft) -> str | None:
    inputs = draft.node(index).input
    order = [*inputs][::-1]
    if [plain(draft.network, name) for name in order] == [plain(draft.network, name) for name in inputs]:
        return None
    del inputs[:]
    inputs.extend(order)
    return f"{title(node)} joins its parts in the opposite order"


def _twice(index: int, node: NodeProto, draft: Draft) -> str:
    before = draft.after(index)
    draft.add(node.op_type, before, **draft.network.attributes(node))
    draft.deliver(node.output[0])
    return f"{title(node)} is done twice"


def _wires(network: Network) -> Iterator[Fault]:
    """Nodes that could read another value of the same type, made before them."""
    known: dict[Value, list[str]] = {}
    for index in network.live:
        node = network.graph.node[index]
        for position, name in enumerate(node.input):
            value = network.of(name)
            if node.op_type not in _WIRED or name in network.tensors or not value.floating:
                continue
            # The latest few are the likeliest to be taken for one another.
            for other in known.get(value, [])[-3:]:
                if other != name and plain(network, other) != plain(network, name):
                    yield Fault("edge from another node", partial(_rewire, index, node, position, other))
        for name in node.output:
            value = network.of(name)
            if value.dims and None not in value.dims and value.floating:
                known.setdefault(value, []).append(name)


def _rewire(index: int, node: NodeProto, position: int, other: str, draft: Draft) -> str:
    inputs = draft.node(index).input
    old, inputs[position] = inputs[position], other
    return f"{title(node)} reads '{other}' instead of '{old}'"


def _exchanged_outputs(network: Network) -> Iterator[Fault]:
    """Two outputs of one type that are given out under each other's name."""
    made = [name for name in network.outputs if name in network.makers]
    for number, first in enumerate(made):
        for second in made[number + 1 :]:
            same = _same(network.of(first), network.of(second)) and plain(network, first) != plain(network, second)
            if same:
                yield Fault("outputs exchanged", partial(_exchange_outputs, first, second))


def _exchange_outputs(first: str, second: str, draft: Draft) -> str:
    draft.rename({first: second, second: first})
    return f"the outputs '{first}' and '{second}' are exchanged"
