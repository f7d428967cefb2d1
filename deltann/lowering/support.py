"""Which models an operator table can lower, said without building anything."""

from __future__ import annotations

import onnx
from onnx import TensorProto

from deltann.lowering.functions import has_body
from deltann.lowering.graph import label, operators
from deltann.lowering.table import NEWEST, OLDEST, Table
from deltann.model import Model


def unsupported(model: Model, table: Table, framework: str) -> str | None:
    """Why the model cannot be lowered, naming every operator that is missing; None if it can.

    An operator that onnx itself defines by a function body counts as there; what its body lacks shows on lowering.
    """
    for spec in (*model.inputs, *model.outputs):
        if spec.dtype in ("object", "str"):
            return f"'{spec.name}' holds strings, which {framework} has no tensors of"
    proto = onnx.load(model.path, load_external_data=False)
    if any(tensor.data_type == TensorProto.STRING for tensor in proto.graph.initializer):
        return f"the model holds strings, which {framework} has no tensors of"
    if model.opset > NEWEST:
        return f"ai.onnx opset {model.opset}: the table is checked up to {NEWEST}"
    if 0 < model.opset < OLDEST:
        return f"ai.onnx opset {model.opset}: the table begins at {OLDEST}"
    missing = [
        label(*operator) for operator in operators(proto) if table.find(*operator) is None and not has_body(*operator)
    ]
    return f"operators not in the table: {', '.join(missing)}" if missing else None
