"""Which models the table can lower, said without building anything."""

from __future__ import annotations

import onnx
from onnx import TensorProto

from deltann.lowering.functions import has_body
from deltann.lowering.graph import label, operators
from deltann.model import Model
from deltann_torch import ops as ops  # importing it fills the table
from deltann_torch import table


def unsupported(model: Model) -> str | None:
    """Why the model cannot be lowered, naming every operator that is missing; None if it can.

    An operator that onnx itself defines by a function body counts as there; what its body lacks shows on lowering.
    """
    for spec in (*model.inputs, *model.outputs):
        if spec.dtype in ("object", "str"):
            return f"'{spec.name}' holds strings, which torch has no tensors of"
    proto = onnx.load(model.path, load_external_data=False)
    if any(tensor.data_type == TensorProto.STRING for tensor in proto.graph.initializer):
        return "the model holds strings, which torch has no tensors of"
    if model.opset > table.NEWEST:
        return f"ai.onnx opset {model.opset}: the table is checked up to {table.NEWEST}"
    if 0 < model.opset < table.OLDEST:
        return f"ai.onnx opset {model.opset}: the table begins at {table.OLDEST}"
    missing = [
        label(*operator) for operator in operators(proto) if table.find(*operator) is None and not has_body(*operator)
    ]
    return f"operators not in the table: {', '.join(missing)}" if missing else None
