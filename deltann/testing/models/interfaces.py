"""Inputs and outputs of every kind: several, of several types, oddly named, with and without a batch."""

from __future__ import annotations

import numpy as np
from onnx.helper import make_node

from deltann.testing import arrays as ops
from deltann.testing.tiny import Arrays, TinyModel, build, normal, tensor, uniform


def classifier() -> TinyModel:
    """Flatten, Gemm with transB, Softmax."""
    rng = np.random.default_rng(21)
    w = {"w": normal(rng, 10, 12), "b": uniform(rng, -1, 1, 10)}
    nodes = [
        make_node("Flatten", ["x"], ["f"]),
        make_node("Gemm", ["f", "w", "b"], ["logits"], transB=1),
        make_node("Softmax", ["logits"], ["y"], axis=1),
    ]

    def expected(feed: Arrays) -> Arrays:
        flat = feed["x"].reshape(len(feed["x"]), -1).astype(np.float64)
        return {"y": ops.softmax(flat @ w["w"].T + w["b"])}

    proto = build(nodes, [tensor("x", "batch", 3, 2, 2)], [tensor("y", "batch", 10)], w)
    return TinyModel("classifier", proto, expected)


def two_outputs() -> TinyModel:
    """Outputs of one shape, declared in the order z, a and computed in the order a, z: an index tells nothing."""
    rng = np.random.default_rng(22)
    w = {"w": normal(rng, 6, 6)}
    nodes = [make_node("MatMul", ["x", "w"], ["a_features"]), make_node("Tanh", ["a_features"], ["z_scores"])]

    def expected(feed: Arrays) -> Arrays:
        features = feed["x"].astype(np.float64) @ w["w"]
        return {"a_features": features, "z_scores": np.tanh(features)}

    outputs = [tensor("z_scores", "batch", 6), tensor("a_features", "batch", 6)]
    return TinyModel("two_outputs", build(nodes, [tensor("x", "batch", 6)], outputs, w), expected)


def mixed_inputs() -> TinyModel:
    """Integer and float inputs; float, int64 and bool outputs."""
    rng = np.random.default_rng(23)
    w = {"table": normal(rng, 7, 4), "w": normal(rng, 16, 5), "limit": np.array(0.25, np.float32)}
    nodes = [
        make_node("Gather", ["table", "tokens"], ["words"], axis=0),
        make_node("Flatten", ["words"], ["f"]),
        make_node("Concat", ["f", "dense"], ["joined"], axis=1),
        make_node("MatMul", ["joined", "w"], ["score"]),
        make_node("ArgMax", ["score"], ["best"], axis=1, keepdims=0),
        make_node("Greater", ["score", "limit"], ["high"]),
    ]

    def expected(feed: Arrays) -> Arrays:
        words = w["table"].astype(np.float64)[feed["tokens"]].reshape(len(feed["tokens"]), -1)
        score = np.concatenate([words, feed["dense"]], axis=1) @ w["w"]
        return {"score": score, "best": score.argmax(axis=1), "high": score > w["limit"]}

    inputs = [tensor("tokens", "batch", 3, dtype=np.int64), tensor("dense", "batch", 4)]
    outputs = [
        tensor("score", "batch", 5),
        tensor("best", "batch", dtype=np.int64),
        tensor("high", "batch", 5, dtype=np.bool_),
    ]
    return TinyModel("mixed_inputs", build(nodes, inputs, outputs, w), expected, below={"tokens": 7})


def float16() -> TinyModel:
    """Half precision throughout."""
    rng = np.random.default_rng(24)
    w = {"w": normal(rng, 8, 6).astype(np.float16), "b": uniform(rng, -1, 1, 6).astype(np.float16)}
    nodes = [make_node("Gemm", ["x", "w", "b"], ["g"]), make_node("Relu", ["g"], ["y"])]

    def expected(feed: Arrays) -> Arrays:
        return {"y": np.maximum(feed["x"].astype(np.float64) @ w["w"] + w["b"], 0)}

    inputs, outputs = [tensor("x", "batch", 8, dtype=np.float16)], [tensor("y", "batch", 6, dtype=np.float16)]
    return TinyModel("float16", build(nodes, inputs, outputs, w), expected, tolerance=5e-3)


def fixed_batch() -> TinyModel:
    """A batch fixed at 1, which Reshape has built in."""
    rng = np.random.default_rng(25)
    w = {"w": normal(rng, 12, 4), "target": np.array([1, 12])}
    nodes = [make_node("Reshape", ["x", "target"], ["f"]), make_node("MatMul", ["f", "w"], ["y"])]

    def expected(feed: Arrays) -> Arrays:
        return {"y": feed["x"].reshape(len(feed["x"]), 12).astype(np.float64) @ w["w"]}

    return TinyModel("fixed_batch", build(nodes, [tensor("x", 1, 3, 4)], [tensor("y", 1, 4)], w), expected, rows=1)


def whole() -> TinyModel:
    """No batch dimension anywhere; one output is a scalar."""
    rng = np.random.default_rng(26)
    w = {"w": uniform(rng, -1, 1, 5)}
    nodes = [
        make_node("MatMul", ["matrix", "vector"], ["m"]),
        make_node("Mul", ["m", "w"], ["product"]),
        make_node("ReduceSum", ["product"], ["total"], keepdims=0),
    ]

    def expected(feed: Arrays) -> Arrays:
        product = (feed["matrix"].astype(np.float64) @ feed["vector"]) * w["w"]
        return {"product": product, "total": np.asarray(product.sum())}

    inputs, outputs = [tensor("matrix", 5, 7), tensor("vector", 7)], [tensor("product", 5), tensor("total")]
    return TinyModel("whole", build(nodes, inputs, outputs, w), expected, rows=None)


def odd_names() -> TinyModel:
    """Names as TensorFlow's converters write them, which no file system and no identifier takes."""
    rng = np.random.default_rng(27)
    w = {"dense/kernel:0": normal(rng, 6, 3)}
    nodes = [
        make_node("MatMul", ["serving/input:0", "dense/kernel:0"], ["head/logits"]),
        make_node("Sigmoid", ["head/logits"], ["head/logits:0"]),
    ]

    def expected(feed: Arrays) -> Arrays:
        logits = feed["serving/input:0"].astype(np.float64) @ w["dense/kernel:0"]
        return {"head/logits": logits, "head/logits:0": 1 / (1 + np.exp(-logits))}

    outputs = [tensor("head/logits:0", "batch", 3), tensor("head/logits", "batch", 3)]
    return TinyModel("odd_names", build(nodes, [tensor("serving/input:0", "batch", 6)], outputs, w), expected)
