"""A model as IREE's importer wants it: a recent opset, no functions, and every shape a number.

The importer takes a tensor of unknown rank for a scalar, so shapes that onnx's inference does not see through are
computed here: exporters flatten with Shape, Gather, Concat and Reshape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import inliner, numpy_helper, shape_inference, version_converter
from onnx.reference import ReferenceEvaluator

from deltann.errors import Unsupported, one_line
from deltann.lowering.static import with_static_inputs

OPSET = 17
"""What IREE's guide asks for: of older operators its importer knows few."""
_ARITHMETIC = re.compile(
    "Add|And|Cast|Ceil|Concat|Constant|ConstantOfShape|Div|Equal|Expand|Flatten|Floor|Gather|Greater|GreaterOrEqual|"
    "Identity|Less|LessOrEqual|Max|Min|Mod|Mul|Neg|Not|Or|Range|ReduceMax|ReduceMin|ReduceProd|ReduceSum|Reshape|"
    "Shape|Size|Slice|Split|Sqrt|Squeeze|Sub|Tile|Transpose|Unsqueeze|Where"
)
_LARGEST = 4096
"""Elements; what computes shapes is smaller."""
Array = npt.NDArray[np.generic]


def static(proto: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> onnx.ModelProto:
    """`proto`, changed: inputs of `shapes`, shapes inferred, and what computes shapes computed where need be.

    Raises:
        Unsupported: onnx cannot raise the model to opset 17.
    """
    if proto.functions:
        proto = inliner.inline_local_functions(proto)
    proto = with_static_inputs(_raised(proto), shapes)
    while True:
        inferred = shape_inference.infer_shapes(proto, data_prop=True)
        known = _known_shapes(inferred.graph)
        if all(name in known for node in proto.graph.node for name in node.output if name):
            return inferred
        if not _fold(proto, known):
            return inferred


def _raised(proto: onnx.ModelProto) -> onnx.ModelProto:
    opset = max((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), default=OPSET)
    if opset >= OPSET:
        return proto
    try:
        return version_converter.convert_version(proto, OPSET)
    except (version_converter.ConvertError, RuntimeError) as error:
        reason = one_line(str(error).rpartition("failed: ")[2])
        raise Unsupported(f"IREE reads opset {OPSET}, and onnx cannot convert opset {opset} to it: {reason}") from error


def _known_shapes(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """The static shapes among those declared or inferred."""
    found = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim):
            found[value.name] = tuple(dim.dim_value for dim in tensor.shape.dim)
    return found


def _fold(proto: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Turn nodes that compute small constants into initializers; whether there were any."""
    graph = proto.graph
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer if np.prod(t.dims) <= _LARGEST}
    kept, folded = [], 0
    for node in graph.node:
        results = _evaluate(proto, node, values, shapes)
        if results is None:
            kept.append(node)
            continue
        folded += 1
        for name, result in results.items():
            values[name] = result
            graph.initializer.append(numpy_helper.from_array(np.asarray(result), name))
    del graph.node[:]
    graph.node.extend(kept)
    return folded > 0


def _evaluate(
    proto: onnx.ModelProto, node: onnx.NodeProto, values: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Array] | None:
    """What `node` computes, or None where that is no small constant."""
    if not _ARITHMETIC.fullmatch(node.op_type) or node.domain not in ("", "ai.onnx"):
        return None
    feeds = {name: values[name] for name in node.input if name in values}
    if node.op_type in ("Shape", "Size") and node.input[0] in shapes:
        feeds = {node.input[0]: np.broadcast_to(np.float32(0), shapes[node.input[0]])}
    if any(name and name not in feeds for name in node.input):
        return None
    any_type = onnx.TypeProto()
    inputs = [onnx.helper.make_value_info(name, any_type) for name in feeds]
    outputs = [onnx.helper.make_value_info(name, any_type) for name in node.output if name]
    graph = onnx.helper.make_graph([node], "node", inputs, outputs)
    model = onnx.helper.make_model(graph, opset_imports=proto.opset_import)
    results = [np.asarray(result) for result in ReferenceEvaluator(model).run(None, feeds)]
    if any(result.size > _LARGEST for result in results):
        return None
    return dict(zip((output.name for output in outputs), results, strict=True))
