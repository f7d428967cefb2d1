"""A copy of a model while a fault is worked into it, and what a fault is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableSequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import AttributeProto, ModelProto, NodeProto, helper, numpy_helper

from deltann.sabotage.network import Network

_CONSTANTS_OF_ANY_TYPE = 9
"""The opset since which a Constant may hold integers. (An initializer would be a graph input too before IR 4.)"""


class Draft:
    """A copy of `network`'s model, to be changed by so much; `rng` is what chance there is in it.

    Nodes keep the indices of the original until `finish`.
    """

    def __init__(self, network: Network, severity: float, rng: np.random.Generator) -> None:
        self.network, self.severity, self.rng = network, severity, rng
        self._proto = ModelProto()
        self._proto.CopyFrom(network.proto)
        self._added: list[NodeProto] = []
        self._place = 0
        self._taken = {name for node in self._proto.graph.node for name in (*node.input, *node.output)}
        self._taken |= {value.name for value in (*self._proto.graph.input, *self._proto.graph.output)}

    def node(self, index: int) -> NodeProto:
        """The copy's node."""
        return self._proto.graph.node[index]

    def name(self, stem: str) -> str:
        """A name that nothing has yet."""
        number = 0
        while (name := f"{stem}__{number}") in self._taken:
            number += 1
        self._taken.add(name)
        return name

    def add(self, op: str, *operands: str | npt.NDArray[Any], **attributes: Any) -> str:
        """A new node; arrays become Constant nodes, for every IR version takes those. Returns its output."""
        names = [operand if isinstance(operand, str) else self._constant(operand) for operand in operands]
        output = self.name(f"sabotaged_{op}")
        self._added.append(helper.make_node(op, names, [output], name=output, **attributes))
        return output

    def _constant(self, array: npt.NDArray[Any]) -> str:
        if self.network.opset < _CONSTANTS_OF_ANY_TYPE and array.dtype.kind != "f":
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            return self.add("Cast", array.astype(np.float64), to=kind)
        output = self.name("sabotaged_constant")
        tensor = _tensor(array, output)
        self._added.append(helper.make_node("Constant", [], [output], name=output, value=tensor))
        return output

    def constant(self, array: npt.NDArray[Any], before: int) -> str:
        """A constant for the node at `before`, which alone reads it."""
        self._place = before
        return self._constant(array)

    def reread(self, old: str, new: str) -> None:
        """Have every node that reads `old` read `new`, which the added nodes make of it at the graph's beginning."""
        self._place = 0
        for node in self._proto.graph.node:
            _reread(node, {old: new})

    def rename(self, names: Mapping[str, str]) -> None:
        """Call values otherwise, where they are made and where they are read."""
        for node in self._proto.graph.node:
            _rename(node.output, names)
        for node in self._proto.graph.node:
            _reread(node, names)

    def feed(self, index: int, position: int, name: str) -> None:
        """Have one node alone read `name`, which the added nodes make just before it."""
        self._place = index
        self.node(index).input[position] = name

    def after(self, index: int, position: int = 0) -> str:
        """A new name for the node's own output, so that added nodes make of it what others read by the old one."""
        self._place = index + 1
        outputs = self.node(index).output
        outputs[position] = self.name(outputs[position])
        return str(outputs[position])

    def deliver(self, name: str) -> None:
        """Have the node added last make `name`."""
        self._added[-1].output[0] = name

    def set(self, index: int, **attributes: Any) -> None:
        """Set attributes of a node; None removes one."""
        node = self.node(index)
        kept = [attribute for attribute in node.attribute if attribute.name not in attributes]
        kept += [helper.make_attribute(key, value) for key, value in attributes.items() if value is not None]
        kept = [onnx.AttributeProto.FromString(attribute.SerializeToString()) for attribute in kept]
        del node.attribute[:]
        node.attribute.extend(kept)

    def turn_into(self, index: int, op: str, inputs: int = 1, **attributes: Any) -> None:
        """Make the node another operator, which reads its first `inputs` inputs and has these attributes alone."""
        node = self.node(index)
        node.op_type = op
        del node.input[inputs:]
        del node.output[1:]
        del node.attribute[:]
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())

    def store(self, name: str, array: npt.NDArray[Any]) -> None:
        """Another value for a constant, for all who read it."""
        old = self.network.tensors[name]
        tensor = _tensor(array.astype(self.network.of(name).dtype), old.name)
        for initializer in self._proto.graph.initializer:
            if initializer.name == name:
                initializer.CopyFrom(tensor)
        for node in self._proto.graph.node:
            if node.op_type == "Constant" and node.output[0] == name:
                next(a for a in node.attribute if a.name == "value").t.CopyFrom(tensor)

    def finish(self) -> ModelProto:
        """The copy, its added nodes put in their place."""
        for node in reversed(self._added):
            self._proto.graph.node.insert(self._place, node)
        self._added = []
        return self._proto


def _tensor(array: npt.NDArray[Any], name: str) -> onnx.TensorProto:
    # `ascontiguousarray` alone makes a scalar an array of one.
    return numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)


def _rename(values: MutableSequence[str], names: Mapping[str, str]) -> None:
    for position, name in enumerate(values):
        if name in names:
            values[position] = names[name]


def _reread(node: NodeProto, names: Mapping[str, str]) -> None:
    """Have a node read other values, in its subgraphs too."""
    _rename(node.input, names)
    for attribute in node.attribute:
        if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
            for graph in (attribute.g, *attribute.graphs):
                for inner in graph.node:
                    _reread(inner, names)
                for value in graph.output:
                    value.name = names.get(value.name, value.name)


Work = Callable[[Draft], str | None]


@dataclass(frozen=True)
class Fault:
    """One fault at one place. `name` is the same for the same fault elsewhere.

    `work` changes a draft and says in one line what it did; None where the copy would compute the same. `graded`: the
    draft's severity scales it; a fault that is not graded is there or is not.
    """

    name: str
    work: Work
    graded: bool = False
