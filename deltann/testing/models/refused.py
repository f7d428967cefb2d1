"""Models that every backend refuses, since nobody knows what they mean."""

from __future__ import annotations

import onnx
from onnx.helper import make_node

from deltann.testing.tiny import TinyModel, build, tensor


def unknown_operator() -> TinyModel:
    """An operator of a domain that is nobody's."""
    proto = build([make_node("Relu", ["x"], ["y"])], [tensor("x", "batch", 3)], [tensor("y", "batch", 3)], {})
    proto.graph.node[0].op_type, proto.graph.node[0].domain = "Frobnicate", "com.example"
    proto.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    return TinyModel("unknown_operator", proto, lambda feed: {"y": feed["x"]})


def too_new_opset() -> TinyModel:
    """An opset that does not exist yet, as far as the installed `onnx` knows."""
    proto = build([make_node("Relu", ["x"], ["y"])], [tensor("x", "batch", 3)], [tensor("y", "batch", 3)], {})
    proto.opset_import[0].version = onnx.defs.onnx_opset_version() + 1
    return TinyModel("too_new_opset", proto, lambda feed: {"y": feed["x"]})
