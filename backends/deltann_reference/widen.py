"""A model with every floating type in it made float64: weights, inputs, outputs, and the types that its nodes name."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, numpy_helper

from deltann.errors import Unsupported
from deltann.lowering.attributes import schema
from deltann.lowering.functions import imports
from deltann.lowering.graph import operators
from deltann.model import Model

# 8-bit and smaller floats are storage formats, which stay.
_NARROW = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
FLOATS = ("float16", "bfloat16", "float32")
"""Their numpy names."""
_TYPE_ATTRIBUTES = ("to", "dtype", "output_datatype", "output_dtype", "precision", "softmax_precision", "stash_type")
"""Attributes that hold an element type."""

_NO_STASH = ("LayerNormalization", "RMSNormalization")
"""Operators that onnx.reference computes in the input's type, though it takes no `stash_type` other than float32."""

NOT_WIDE = frozenset(
    {
        "AffineGrid",
        "CausalConvWithState",
        "DeformConv",
        "DynamicQuantizeLinear",
        "FlexAttention",
        "GridSample",
        "LinearAttention",
        "TfIdfVectorizer",
    }
)
"""Operators that onnx.reference computes in float32 whatever its inputs."""


def too_narrow(model: Model) -> str | None:
    """Why the model cannot be computed in float64 here; None if it can."""
    used = {op for op, _, _ in operators(onnx.load(model.path, load_external_data=False))}
    found = ", ".join(op for op in sorted(NOT_WIDE & used))
    return f"no float64 for {found}, which onnx.reference computes in float32: use torch" if found else None


def widened(proto: ModelProto) -> ModelProto:
    """A copy of `proto` in float64, its own functions inlined.

    Raises:
        Unsupported: BitCast, which a wider type gives other bits; a function of the model's own that cannot be inlined
            takes an element type as an attribute.
    """
    from onnx.inliner import inline_local_functions  # the adapter itself imports no more of onnx than the core does

    result = ModelProto()
    result.CopyFrom(inline_local_functions(proto) if proto.functions else proto)
    opsets = imports(result.opset_import)
    _graph(result.graph, opsets)
    for function in result.functions:
        for node in function.node:
            _node(node, {**opsets, **imports(function.opset_import)})
    return result


def _graph(graph: GraphProto, opsets: dict[str, int]) -> None:
    for tensor in graph.initializer:
        _tensor(tensor)
    for sparse in graph.sparse_initializer:
        _tensor(sparse.values)
    for value in (*graph.input, *graph.output, *graph.value_info):
        _type(value.type)
    for node in graph.node:
        _node(node, opsets)


def _node(node: NodeProto, opsets: dict[str, int]) -> None:
    if node.op_type == "BitCast":
        raise Unsupported("BitCast: the bits of a floating type that precision replaces")
    for attribute in node.attribute:
        if attribute.name in _TYPE_ATTRIBUTES and not _kept(node, attribute.name):
            if attribute.ref_attr_name:
                raise Unsupported(f"{node.op_type} takes its type from an attribute of a function that is not inlined")
            if attribute.i in _NARROW:
                attribute.i = TensorProto.DOUBLE
        _tensors(attribute)
        for graph in (attribute.g, *attribute.graphs):
            _graph(graph, opsets)
    _defaults(node, opsets)


def _tensors(attribute: AttributeProto) -> None:
    """Tensors of an attribute; `value_float` and `value_floats` of Constant become tensors."""
    if attribute.name in ("value_float", "value_floats"):
        value = np.float64(attribute.f) if attribute.name == "value_float" else np.array(attribute.floats, np.float64)
        attribute.CopyFrom(onnx.helper.make_attribute("value", numpy_helper.from_array(np.asarray(value))))
    for tensor in (attribute.t, *attribute.tensors, attribute.sparse_tensor.values):
        _tensor(tensor)
    for sparse in attribute.sparse_tensors:
        _tensor(sparse.values)
    for declared in (attribute.tp, *attribute.type_protos):
        _type(declared)


def _defaults(node: NodeProto, opsets: dict[str, int]) -> None:
    """Types that a node leaves out and its schema gives as float32 are written out as float64."""
    given = {attribute.name for attribute in node.attribute}
    if node.op_type == "ConstantOfShape" and "value" not in given:
        node.attribute.append(onnx.helper.make_attribute("value", numpy_helper.from_array(np.zeros(1))))
    declared = schema(node.op_type, node.domain, opsets.get("" if node.domain == "ai.onnx" else node.domain, 1))
    for name, attribute in declared.attributes.items() if declared else ():
        narrow = name in _TYPE_ATTRIBUTES and name not in given and attribute.default_value.i in _NARROW
        if narrow and not _kept(node, name):
            node.attribute.append(onnx.helper.make_attribute(name, TensorProto.DOUBLE))


def _kept(node: NodeProto, attribute: str) -> bool:
    return attribute == "stash_type" and node.op_type in _NO_STASH


def _tensor(tensor: TensorProto) -> None:
    if tensor.data_type in _NARROW:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))


def _type(declared: TypeProto) -> None:
    kind = declared.WhichOneof("value")
    if kind in ("tensor_type", "sparse_tensor_type"):
        tensor = getattr(declared, kind)
        if tensor.elem_type in _NARROW:
            tensor.elem_type = TensorProto.DOUBLE
    elif kind in ("sequence_type", "optional_type"):
        _type(getattr(declared, kind).elem_type)
    elif kind == "map_type":
        _type(declared.map_type.value_type)
