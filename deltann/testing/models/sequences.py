"""What text models and vision transformers are made of."""

from __future__ import annotations

import numpy as np
from onnx import numpy_helper
from onnx.helper import make_node

from deltann.testing import arrays as ops
from deltann.testing.tiny import Arrays, TinyModel, build, normal, tensor, uniform

_WORDS = 11


def embedding() -> TinyModel:
    """Integer tokens, Gather, mean over the words, MatMul."""
    rng = np.random.default_rng(11)
    w = {"table": normal(rng, _WORDS, 8), "w": normal(rng, 8, 5)}
    nodes = [
        make_node("Gather", ["table", "tokens"], ["words"], axis=0),
        make_node("ReduceMean", ["words"], ["mean"], axes=[1], keepdims=0),
        make_node("MatMul", ["mean", "w"], ["y"]),
    ]

    def expected(feed: Arrays) -> Arrays:
        return {"y": w["table"].astype(np.float64)[feed["tokens"]].mean(axis=1) @ w["w"]}

    proto = build(nodes, [tensor("tokens", "batch", 6, dtype=np.int64)], [tensor("y", "batch", 5)], w)
    return TinyModel("embedding", proto, expected, below={"tokens": _WORDS})


def attention() -> TinyModel:
    """Self-attention of two heads: MatMul of three and four dimensions, Transpose, Softmax, Reshape with zeros."""
    rng = np.random.default_rng(12)
    w = {name: normal(rng, 8, 8) for name in "qkvo"}
    constants = {"heads": np.array([0, 0, 2, 4]), "joined": np.array([0, 0, 8]), "root": np.array(2, np.float32)}
    nodes = [
        *(make_node("MatMul", ["x", name], [f"{name}1"]) for name in "qkv"),
        *(make_node("Reshape", [f"{name}1", "heads"], [f"{name}2"]) for name in "qkv"),
        *(make_node("Transpose", [f"{name}2"], [f"{name}3"], perm=[0, 2, 1, 3]) for name in "qv"),
        make_node("Transpose", ["k2"], ["k3"], perm=[0, 2, 3, 1]),
        make_node("MatMul", ["q3", "k3"], ["scores"]),
        make_node("Div", ["scores", "root"], ["scaled"]),
        make_node("Softmax", ["scaled"], ["shares"], axis=-1),
        make_node("MatMul", ["shares", "v3"], ["mixed"]),
        make_node("Transpose", ["mixed"], ["back"], perm=[0, 2, 1, 3]),
        make_node("Reshape", ["back", "joined"], ["flat"]),
        make_node("MatMul", ["flat", "o"], ["y"]),
    ]

    def expected(feed: Arrays) -> Arrays:
        x = feed["x"].astype(np.float64)
        q, k, v = ((x @ w[name]).reshape(len(x), 5, 2, 4).transpose(0, 2, 1, 3) for name in "qkv")
        mixed = ops.softmax(q @ k.transpose(0, 1, 3, 2) / 2) @ v
        return {"y": mixed.transpose(0, 2, 1, 3).reshape(len(x), 5, 8) @ w["o"]}

    proto = build(nodes, [tensor("x", "batch", 5, 8)], [tensor("y", "batch", 5, 8)], {**w, **constants})
    return TinyModel("attention", proto, expected)


def composite() -> TinyModel:
    """Operators that the specification itself defines through others: LayerNormalization, Gelu, HardSwish."""
    rng = np.random.default_rng(13)
    w = {"scale": uniform(rng, 0.5, 1.5, 8), "bias": uniform(rng, -0.5, 0.5, 8), "w": normal(rng, 8, 6)}
    nodes = [
        make_node("LayerNormalization", ["x", "scale", "bias"], ["n"], axis=-1, epsilon=1e-5),
        make_node("Gelu", ["n"], ["g"]),
        make_node("MatMul", ["g", "w"], ["m"]),
        make_node("HardSwish", ["m"], ["y"]),
    ]

    def expected(feed: Arrays) -> Arrays:
        n = ops.layer_norm(feed["x"].astype(np.float64), w["scale"], w["bias"], 1e-5)
        m = ops.gelu(n) @ w["w"].astype(np.float64)
        return {"y": m * np.clip(m / 6 + 0.5, 0, 1)}

    proto = build(nodes, [tensor("x", "batch", 4, 8)], [tensor("y", "batch", 4, 6)], w, opset=20)
    return TinyModel("composite", proto, expected)


def reshape_by_shape() -> TinyModel:
    """Flattening as exporters write it: Shape, Gather, Unsqueeze, Concat, Reshape; weights in a Constant node."""
    rng = np.random.default_rng(14)
    weight = normal(rng, 24, 5)
    integers = {"zero": np.array(0), "axes": np.array([0]), "rest": np.array([-1])}
    nodes = [
        make_node("Constant", [], ["w"], value=numpy_helper.from_array(weight)),
        make_node("Shape", ["x"], ["shape"]),
        make_node("Gather", ["shape", "zero"], ["first"], axis=0),
        make_node("Unsqueeze", ["first", "axes"], ["rows"]),
        make_node("Concat", ["rows", "rest"], ["target"], axis=0),
        make_node("Reshape", ["x", "target"], ["flat"]),
        make_node("MatMul", ["flat", "w"], ["y"]),
    ]

    def expected(feed: Arrays) -> Arrays:
        x = feed["x"].astype(np.float64)
        return {"y": x.reshape(len(x), -1) @ weight}

    proto = build(nodes, [tensor("x", "batch", 4, 3, 2)], [tensor("y", "batch", 5)], integers, opset=13)
    return TinyModel("reshape_by_shape", proto, expected)
