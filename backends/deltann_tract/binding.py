"""A model's static shapes, as tract wants them told."""

from __future__ import annotations

import onnx

from deltann.model import Model

# Element types that numpy and tract both have, by tract's names.
DTYPES = {
    "bool": "bool",
    **{f"int{bits}": f"i{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"u{bits}" for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"f{bits}" for bits in (16, 32, 64)},
}


def facts(model: Model) -> dict[str, str]:
    """Shape and type of each input, such as `1,3,224,224,f32`."""
    return {spec.name: ",".join([*map(str, spec.static_shape), DTYPES[spec.dtype]]) for spec in model.inputs}


def bound(proto: onnx.ModelProto, model: Model) -> onnx.ModelProto:
    """`proto`, changed: its inputs' shapes static, and no other shape declared that tract would find at odds with it.

    A symbol is for tract a number of its own, never equal to 1.
    """
    shapes = {spec.name: spec.static_shape for spec in model.inputs}
    for value in proto.graph.input:
        if value.name in shapes:
            dims = value.type.tensor_type.shape.dim
            del dims[:]
            dims.extend(onnx.TensorShapeProto.Dimension(dim_value=size) for size in shapes[value.name])
    del proto.graph.value_info[:]
    for value in proto.graph.output:
        value.type.tensor_type.ClearField("shape")
    return proto
