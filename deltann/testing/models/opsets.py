"""The oldest operator set that backends promise, and the newest that the installed `onnx` defines."""

from __future__ import annotations

import numpy as np
import onnx
from onnx.helper import make_node

from deltann.testing import arrays as ops
from deltann.testing.tiny import Arrays, TinyModel, build, normal, tensor, uniform


def opset7() -> TinyModel:
    """As 2018's exporters wrote: IR 3, weights among the inputs, and a Softmax that flattens from its axis on."""
    rng = np.random.default_rng(31)
    w = {
        "scale": uniform(rng, 0.5, 1.5, 3),
        "shift": uniform(rng, -0.5, 0.5, 3),
        "mean": uniform(rng, -0.5, 0.5, 3),
        "variance": uniform(rng, 0.5, 2, 3),
        "w": normal(rng, 5, 12),
        "b": uniform(rng, -1, 1, 5),
        "target": np.array([-1, 12]),
    }
    nodes = [
        make_node("BatchNormalization", ["x", "scale", "shift", "mean", "variance"], ["n"], epsilon=1e-5),
        make_node("Softmax", ["n"], ["shares"], axis=1),
        make_node("Dropout", ["n"], ["kept"], ratio=0.5),
        make_node("Reshape", ["kept", "target"], ["flat"]),
        make_node("Gemm", ["flat", "w", "b"], ["logits"], transB=1),
    ]

    def expected(feed: Arrays) -> Arrays:
        n = ops.batch_norm(feed["x"], w["scale"], w["shift"], w["mean"], w["variance"], 1e-5)
        flat = n.reshape(len(n), 12)
        return {"shares": ops.softmax(flat).reshape(n.shape), "logits": flat @ w["w"].T + w["b"]}

    outputs = [tensor("shares", "batch", 3, 4), tensor("logits", "batch", 5)]
    proto = build(nodes, [tensor("x", "batch", 3, 4)], outputs, w, opset=7, ir_version=3)
    return TinyModel("opset7", proto, expected)


def newest_opset() -> TinyModel:
    """Plain operators, stated in the newest operator set; reductions and squeezes take their axes as an input now."""
    rng = np.random.default_rng(32)
    w = {"w": normal(rng, 6, 4), "b": uniform(rng, -1, 1, 4), "axes": np.array([1])}
    nodes = [
        make_node("MatMul", ["x", "w"], ["m"]),
        make_node("Add", ["m", "b"], ["s"]),
        make_node("Relu", ["s"], ["r"]),
        make_node("ReduceMean", ["r", "axes"], ["k"], keepdims=1),
        make_node("Squeeze", ["k", "axes"], ["y"]),
    ]

    def expected(feed: Arrays) -> Arrays:
        r = np.maximum(feed["x"].astype(np.float64) @ w["w"] + w["b"], 0)
        return {"y": r.mean(axis=1)}

    opset = onnx.defs.onnx_opset_version()
    proto = build(nodes, [tensor("x", "batch", 3, 6)], [tensor("y", "batch", 4)], w, opset=opset, ir_version=10)
    return TinyModel("newest_opset", proto, expected)
