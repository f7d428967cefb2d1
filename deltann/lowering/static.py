"""An ONNX file's inputs made static, for engines that read shapes from the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx


def with_static_inputs(proto: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> onnx.ModelProto:
    """`proto`, changed: the inputs named have these shapes, and no shape is declared that could contradict them."""
    for value in proto.graph.input:
        if value.name in shapes:
            dims = value.type.tensor_type.shape.dim
            del dims[:]
            dims.extend(onnx.TensorShapeProto.Dimension(dim_value=size) for size in shapes[value.name])
    del proto.graph.value_info[:]  # as far as it holds symbols, it contradicts the static inputs
    for value in proto.graph.output:
        value.type.tensor_type.ClearField("shape")
    return proto
