"""An ONNX graph ready to be lowered: model-local functions expanded, each node with its own opset and attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TypeProto, numpy_helper

from deltann.lowering import functions
from deltann.lowering.attributes import attributes


def label(op: str, domain: str, opset: int) -> str:
    """How an operator is named to people: `Conv (ai.onnx 13)`."""
    return f"{op} ({domain or 'ai.onnx'} {opset})"


@dataclass(frozen=True)
class Node:
    """One operator. `attributes` include the schema's defaults; a subgraph among them is a `Graph`.

    `opsets` are those in force for this node: a function's body brings its own.
    """

    proto: NodeProto
    opsets: Mapping[str, int]
    attributes: Mapping[str, Any]

    @property
    def op(self) -> str:
        return self.proto.op_type

    @property
    def domain(self) -> str:
        return "" if self.proto.domain == "ai.onnx" else self.proto.domain

    @property
    def opset(self) -> int:
        return self.opsets.get(self.domain, 1)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        return tuple(self.proto.input)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        return tuple(self.proto.output)

    @property
    def subgraphs(self) -> list[Graph]:
        return [value for value in self.attributes.values() if isinstance(value, Graph)]

    def __str__(self) -> str:
        return label(self.op, self.domain, self.opset)


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order. `constants` are the initializers; `inputs` leaves out those that they initialise."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, npt.NDArray[np.generic]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def walk(self) -> Iterator[Node]:
        """Every node, those of subgraphs included."""
        for node in self.nodes:
            yield node
            for graph in node.subgraphs:
                yield from graph.walk()

    @cached_property
    def free(self) -> tuple[str, ...]:
        """The names that this graph takes from the scopes around it, in the order of their first use."""
        known = {"", *self.inputs, *self.constants}
        found: dict[str, None] = {}
        for node in self.nodes:
            for name in (*node.inputs, *(name for graph in node.subgraphs for name in graph.free)):
                if name not in known:
                    found[name] = None
            known.update(node.outputs)
        found.update({name: None for name in self.outputs if name not in known})
        return tuple(found)


def read_graph(proto: ModelProto) -> Graph:
    """The main graph of `proto`.

    Raises:
        ValueError: model-local functions call each other in a circle.
    """
    local = {(f.domain, f.name, f.overload): f for f in proto.functions}
    return _Reader(local).graph(proto.graph, functions.imports(proto.opset_import))


def expand(node: Node, types: Sequence[TypeProto | None], prefix: str) -> tuple[Node, ...] | None:
    """The nodes that `node`'s schema defines it by, or None where it is no composite operator."""
    function = functions.body(node.proto, node.opsets, types)
    if function is None:
        return None
    opsets = {**node.opsets, **functions.imports(function.opset_import)}
    call = functions.with_defaults(node.proto, node.opset)
    return tuple(_Reader({}).nodes(functions.instantiate(function, call, prefix), opsets, ()))


def operators(proto: ModelProto) -> list[tuple[str, str, int]]:
    """(operator, domain, opset) of every node, each once in the order of first use, model-local functions walked
    instead of named. Reads no tensor, so a model without its external data will do."""
    local = {(f.domain, f.name, f.overload): f for f in proto.functions}
    found: dict[tuple[str, str, int], None] = {}
    walked = set()

    def walk(nodes: Sequence[NodeProto], opsets: Mapping[str, int]) -> None:
        for node in nodes:
            key = (node.domain, node.op_type, node.overload)
            if key in local:
                if key not in walked:
                    walked.add(key)
                    walk(local[key].node, {**opsets, **functions.imports(local[key].opset_import)})
                continue
            domain = "" if node.domain == "ai.onnx" else node.domain
            found[node.op_type, domain, opsets.get(domain, 1)] = None
            for attribute in node.attribute:
                for graph in (attribute.g, *attribute.graphs):
                    walk(graph.node, opsets)

    walk(proto.graph.node, functions.imports(proto.opset_import))
    return list(found)


def tensor_type(element: int, shape: Sequence[int] | None) -> TypeProto:
    """The type of a tensor, for `expand`."""
    return onnx.helper.make_tensor_type_proto(element, shape)


def dense(sparse: SparseTensorProto) -> npt.NDArray[np.generic]:
    """A sparse tensor made dense (indices either flat or one row for each value)."""
    values, indices = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
    result = np.zeros(tuple(sparse.dims), values.dtype)
    if indices.ndim == 1:
        result.reshape(-1)[indices] = values
    else:
        result[tuple(indices.T)] = values
    return result


@dataclass(frozen=True)
class _Reader:
    local: Mapping[tuple[str, str, str], FunctionProto]

    def graph(self, proto: GraphProto, opsets: Mapping[str, int], calls: tuple[str, ...] = ()) -> Graph:
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.initializer}
        constants |= {sparse.values.name: dense(sparse) for sparse in proto.sparse_initializer}
        return Graph(
            nodes=tuple(self.nodes(proto.node, opsets, calls)),
            constants=constants,
            inputs=tuple(value.name for value in proto.input if value.name not in constants),
            outputs=tuple(value.name for value in proto.output),
        )

    def nodes(self, protos: Sequence[NodeProto], opsets: Mapping[str, int], calls: tuple[str, ...]) -> Iterator[Node]:
        numbers = count()
        for proto in protos:
            function = self.local.get((proto.domain, proto.op_type, proto.overload))
            if function is None:
                yield self.node(proto, opsets, calls)
                continue
            if function.name in calls:
                raise ValueError(f"the model's function {function.name} calls itself, which onnx forbids")
            prefix = f"{'/'.join((*calls, function.name))}:{proto.output[0]}:{next(numbers)}/"
            inner = {**opsets, **functions.imports(function.opset_import)}
            yield from self.nodes(functions.instantiate(function, proto, prefix), inner, (*calls, function.name))

    def node(self, proto: NodeProto, opsets: Mapping[str, int], calls: tuple[str, ...]) -> Node:
        values = attributes(proto, opsets.get("" if proto.domain == "ai.onnx" else proto.domain, 1))
        for name, value in values.items():
            if isinstance(value, GraphProto):
                values[name] = self.graph(value, opsets, calls)
        return Node(proto, opsets, values)
