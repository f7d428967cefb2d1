"""A model as the faults see it: its weights, the shapes of its values, who reads what, and what reaches an output."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from deltann.lowering.attributes import attributes

Dims = tuple[int | str | None, ...]
_FLOATS = (TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE)
_INTEGERS = (TensorProto.INT32, TensorProto.INT64)


@dataclass(frozen=True)
class Value:
    """The type of a tensor; `dims` holds sizes, symbols and None, and is None where even the rank is unknown."""

    element: int
    dims: Dims | None

    @property
    def floating(self) -> bool:
        """Whether it is float16, float32 or float64, which numpy computes with."""
        return self.element in _FLOATS

    @property
    def integer(self) -> bool:
        """Whether it can be an index."""
        return self.element in _INTEGERS

    @property
    def dtype(self) -> np.dtype[Any]:
        """As numpy calls it."""
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(self.element))

    def size(self, axis: int) -> int:
        """The size along `axis`, or 0 where it is open or there is no such axis."""
        dims = self.dims or ()
        dim = dims[axis] if axis < len(dims) else 0
        return dim if isinstance(dim, int) else 0


NOTHING = Value(TensorProto.UNDEFINED, None)


@dataclass(frozen=True)
class Network:
    """The main graph of `proto`, whose tensors must all be in it (no external data left outside)."""

    proto: ModelProto

    @cached_property
    def opset(self) -> int:
        """That of the default domain; 0 where the model imports none."""
        return max((o.version for o in self.proto.opset_import if o.domain in ("", "ai.onnx")), default=0)

    @property
    def graph(self) -> GraphProto:
        """The main graph."""
        return self.proto.graph

    @cached_property
    def tensors(self) -> Mapping[str, TensorProto]:
        """Initializers and what Constant nodes hold, by name."""
        found = {tensor.name: tensor for tensor in self.graph.initializer}
        for node in self.graph.node:
            if node.op_type == "Constant":
                found |= [(node.output[0], a.t) for a in node.attribute if a.name == "value"]
        return found

    @cached_property
    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {}

    def array(self, name: str) -> npt.NDArray[Any] | None:
        """The constant of that name, or None where it is none, or not of a type that numpy computes with."""
        tensor = self.tensors.get(name)
        if tensor is None or tensor.data_type not in (*_FLOATS, *_INTEGERS):
            return None
        if name not in self._arrays:
            self._arrays[name] = numpy_helper.to_array(tensor)
        return self._arrays[name]

    def weight(self, node: NodeProto, position: int) -> npt.NDArray[Any] | None:
        """The floating constant that is `node`'s input at `position`."""
        array = self.array(node.input[position]) if position < len(node.input) else None
        return array if array is not None and array.dtype.kind == "f" else None

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The inputs that no initializer fills."""
        return tuple(value.name for value in self.graph.input if value.name not in self.tensors)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """The outputs, in their order."""
        return tuple(value.name for value in self.graph.output)

    @cached_property
    def types(self) -> Mapping[str, Value]:
        """What shape inference knows of each value."""
        return types(self.proto)

    def of(self, name: str) -> Value:
        """The type of one value; `NOTHING` where nothing is known."""
        return self.types.get(name, NOTHING)

    @cached_property
    def readers(self) -> Mapping[str, tuple[int, ...]]:
        """The nodes, by index, that read each value, in their subgraphs too."""
        found: dict[str, list[int]] = defaultdict(list)
        for index, node in enumerate(self.graph.node):
            for name in dict.fromkeys(reads(node)):
                found[name].append(index)
        return {name: tuple(indices) for name, indices in found.items()}

    @cached_property
    def makers(self) -> Mapping[str, int]:
        """The node, by index, that makes each value."""
        return {name: index for index, node in enumerate(self.graph.node) for name in node.output if name}

    def maker(self, name: str) -> NodeProto | None:
        """The node that makes the value."""
        return self.graph.node[self.makers[name]] if name in self.makers else None

    @cached_property
    def live(self) -> tuple[int, ...]:
        """The nodes that some output depends on and that depend on some input; constants folded are not a network."""
        fed = set(self.inputs)
        for node in self.graph.node:
            if any(name in fed for name in reads(node)):
                fed.update(node.output)
        wanted, found = set(self.outputs), []
        for index in reversed(range(len(self.graph.node))):
            node = self.graph.node[index]
            if wanted.intersection(node.output):
                wanted.update(reads(node))
                if fed.intersection(node.output):
                    found.append(index)
        return tuple(reversed(found))

    def nodes(self, *ops: str) -> Iterator[tuple[int, NodeProto]]:
        """The live nodes of these operators of the default domain that make a floating value first."""
        for index in self.live:
            node = self.graph.node[index]
            if node.op_type in ops and node.domain in ("", "ai.onnx") and self.of(node.output[0]).floating:
                yield index, node

    def attributes(self, node: NodeProto) -> dict[str, Any]:
        """Its attributes, with the schema's defaults."""
        return attributes(node, self.opset)

    def downstream(self, name: str) -> tuple[int, ...]:
        """The live nodes that depend on the value."""
        reached, found = {name}, []
        for index in self.live:
            node = self.graph.node[index]
            if reached.intersection(reads(node)):
                reached.update(node.output)
                found.append(index)
        return tuple(found)


def reads(node: NodeProto) -> Iterator[str]:
    """The values that a node reads, those that its subgraphs take from around them included."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs) if attribute.type in _GRAPHS else ():
            for inner in graph.node:
                yield from reads(inner)
            yield from (value.name for value in graph.output)


_GRAPHS = (AttributeProto.GRAPH, AttributeProto.GRAPHS)


def types(proto: ModelProto) -> dict[str, Value]:
    """What shape inference knows of every value of the main graph.

    Raises:
        onnx.shape_inference.InferenceError: a node contradicts what the graph declares.
    """
    graph = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True).graph
    found = {tensor.name: Value(tensor.data_type, tuple(tensor.dims)) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.WhichOneof("value") == "tensor_type":
            tensor = value.type.tensor_type
            known = tensor.HasField("shape")
            dims = tuple(_dim(dim) for dim in tensor.shape.dim) if known else None
            found[value.name] = Value(tensor.elem_type, dims)
    return found


def _dim(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    return int(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or None


def title(node: NodeProto) -> str:
    """How a node is named to people."""
    return f"{node.op_type} '{node.name or node.output[0]}'"
