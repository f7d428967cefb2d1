"""Making shapes static: what exporters compute at run time becomes constants, and all else stays as it is."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from deltann.errors import Unsupported
from deltann.testing.models import MODELS
from deltann_iree.static import static


def _shapes(proto: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    values = (*proto.graph.value_info, *proto.graph.output)
    return {v.name: tuple(dim.dim_value for dim in v.type.tensor_type.shape.dim) for v in values}


def _flatten(opset: int) -> onnx.ModelProto:
    """Shape, Slice, ReduceProd, Concat, Reshape: a flattening whose sizes onnx's inference does not follow."""
    constants = {"one": np.array([1]), "zero": np.array([0]), "end": np.array([9]), "axis": np.array([0])}
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Slice", ["shape", "zero", "one", "axis"], ["first"]),
        helper.make_node("Slice", ["shape", "one", "end", "axis"], ["others"]),
        helper.make_node("ReduceProd", ["others"], ["size"], keepdims=1),
        helper.make_node("Concat", ["first", "size"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["flat"]),
        helper.make_node("Relu", ["flat"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "a", "b"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "m"])
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "graph", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.integers(1, 5)] * 3), st.sampled_from([13, 17]))
def test_computed_shapes_become_constants_and_the_function_stays(shape: tuple[int, int, int], opset: int) -> None:
    proto = _flatten(opset)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    wanted = ReferenceEvaluator(proto).run(None, {"x": x})[0]
    result = static(_flatten(opset), {"x": shape})
    assert _shapes(result)["y"] == wanted.shape
    np.testing.assert_array_equal(ReferenceEvaluator(result).run(None, {"x": x})[0], wanted)


def test_nothing_is_folded_where_inference_does() -> None:
    proto = MODELS["attention"]().proto
    nodes = [node.op_type for node in proto.graph.node]
    result = static(onnx.ModelProto.FromString(proto.SerializeToString()), {"x": (2, 5, 8)})
    assert [node.op_type for node in result.graph.node] == nodes


def test_old_opsets_are_raised() -> None:
    result = static(MODELS["opset7"]().proto, {"x": (2, 3, 4)})
    assert result.opset_import[0].version == 17


def test_what_onnx_cannot_raise_is_unsupported() -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 2, 2]) for name in "xy"]
    node = helper.make_node("BatchNormalization", ["x", *["s"] * 4], ["y"], is_test=0)
    weight = numpy_helper.from_array(np.ones(1, np.float32), "s")
    graph = helper.make_graph([node], "graph", values[:1], values[1:], [weight])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 6)], ir_version=8)
    with pytest.raises(Unsupported, match="onnx cannot convert opset 6 to it: Attribute is_test must not"):
        static(proto, {"x": (1, 1, 2, 2)})
