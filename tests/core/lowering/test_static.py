from __future__ import annotations

import onnx
from onnx import parser

from deltann.lowering.static import with_static_inputs

TEXT = '<ir_version: 8, opset_import: ["": 17]> g (float[n, 3] x, float[2] z) => (float[n, 3] y) { y = Relu(x) }'


def test_only_the_inputs_named_change_and_nothing_contradicts_them() -> None:
    proto = onnx.shape_inference.infer_shapes(parser.parse_model(TEXT))
    x, z = with_static_inputs(proto, {"x": (4, 3)}).graph.input
    assert [dim.dim_value for dim in x.type.tensor_type.shape.dim] == [4, 3]
    assert [dim.dim_value for dim in z.type.tensor_type.shape.dim] == [2]
    assert not proto.graph.value_info
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True)
    assert [dim.dim_value for dim in inferred.graph.output[0].type.tensor_type.shape.dim] == [4, 3]
