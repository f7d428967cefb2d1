"""Small ONNX models with seeded random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from deltann.model import Model, load_model


def save(
    folder: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: dict[str, np.ndarray],
) -> Model:
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, tensors)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / "model.onnx"
    onnx.save(proto, path)
    return load_model(path)


def value(name: str, *shape: int | str, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def conv_bn_relu(folder: Path, kind: type[np.floating] = np.float32) -> Model:
    """Padded, pointwise, depthwise with stride 2, and a product; batch left open, bound to 2 here."""
    rng = np.random.default_rng(5)

    def normal(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]) or 1)).astype(kind)

    weights = {
        "w1": normal(16, 3, 3, 3),
        "b1": normal(16),
        "scale": (1 + rng.random(16)).astype(kind),
        "shift": normal(16),
        "mean": normal(16),
        "var": (0.5 + rng.random(16)).astype(kind),
        "w2": normal(24, 16, 1, 1),
        "w3": normal(24, 1, 3, 3),
        "w4": normal(24, 10),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c1", "scale", "shift", "mean", "var"], ["n1"]),
        helper.make_node("Relu", ["n1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"]),
        helper.make_node("Conv", ["c2", "w3"], ["c3"], pads=[1, 1, 1, 1], strides=[2, 2], group=24),
        helper.make_node("Tanh", ["c3"], ["t"]),
        helper.make_node("GlobalAveragePool", ["t"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("MatMul", ["f", "w4"], ["m"]),
        helper.make_node("Softmax", ["m"], ["y"], axis=1),
    ]
    onnx_kind = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    model = save(
        folder, nodes, [value("x", "N", 3, 15, 15, kind=onnx_kind)], [value("y", "N", 10, kind=onnx_kind)], weights
    )
    return model.bind({"x": (2, 3, 15, 15)})


def folded_batch_norm(folder: Path) -> Model:
    """A convolution without bias and its batch normalisation, which O2 and up fold into the weights."""
    rng = np.random.default_rng(6)
    weights = {
        "w": rng.standard_normal((16, 3, 3, 3)),
        "shift": rng.standard_normal(16),
        "mean": rng.standard_normal(16),
    }
    weights |= {"scale": 1 + rng.random(16), "var": 0.5 + rng.random(16)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["y"]),
    ]
    singles = {name: array.astype(np.float32) for name, array in weights.items()}
    return save(folder, nodes, [value("x", 2, 3, 9, 9)], [value("y", 2, 16, 7, 7)], singles)
