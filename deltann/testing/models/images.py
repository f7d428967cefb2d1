"""What image models are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx.helper import make_node

from deltann.testing import arrays as ops
from deltann.testing.tiny import Arrays, TinyModel, build, normal, tensor, uniform


def conv_bn_relu() -> TinyModel:
    """Strides and pads that differ by axis and side, BatchNorm with real statistics, a 1×1 convolution with bias."""
    rng = np.random.default_rng(1)
    w = {
        "w1": normal(rng, 6, 3, 3, 3),
        "scale": uniform(rng, 0.5, 1.5, 6),
        "shift": uniform(rng, -0.5, 0.5, 6),
        "mean": uniform(rng, -0.5, 0.5, 6),
        "variance": uniform(rng, 0.5, 2, 6),
        "w2": normal(rng, 4, 6, 1, 1),
        "b2": uniform(rng, -1, 1, 4),
    }
    nodes = [
        make_node("Conv", ["x", "w1"], ["c"], strides=[2, 1], pads=[1, 0, 1, 2]),
        make_node("BatchNormalization", ["c", "scale", "shift", "mean", "variance"], ["n"], epsilon=1e-3),
        make_node("Relu", ["n"], ["r"]),
        make_node("Conv", ["r", "w2", "b2"], ["y"]),
    ]

    def expected(feed: Arrays) -> Arrays:
        c = ops.conv2d(feed["x"], w["w1"], strides=(2, 1), pads=(1, 0, 1, 2))
        n = ops.batch_norm(c, w["scale"], w["shift"], w["mean"], w["variance"], 1e-3)
        return {"y": ops.conv2d(np.maximum(n, 0), w["w2"], w["b2"])}

    proto = build(nodes, [tensor("x", "batch", 3, 9, 8)], [tensor("y", "batch", 4, 5, 8)], w)
    return TinyModel("conv_bn_relu", proto, expected)


def grouped_conv() -> TinyModel:
    """Groups and dilations, LeakyRelu, then `auto_pad=SAME_UPPER` where one row of padding goes to one side only."""
    rng = np.random.default_rng(2)
    w = {"w1": normal(rng, 6, 2, 3, 2), "b1": uniform(rng, -1, 1, 6), "w2": normal(rng, 3, 6, 3, 3)}
    nodes = [
        make_node("Conv", ["x", "w1", "b1"], ["c"], group=2, dilations=[1, 2]),
        make_node("LeakyRelu", ["c"], ["r"], alpha=0.1),
        make_node("Conv", ["r", "w2"], ["y"], auto_pad="SAME_UPPER", strides=[2, 2]),
    ]

    def expected(feed: Arrays) -> Arrays:
        c = ops.conv2d(feed["x"], w["w1"], w["b1"], dilations=(1, 2), group=2)
        r = np.where(c >= 0, c, 0.1 * c)
        (top, bottom), (left, right) = (ops.same_upper(size, 3, 2) for size in r.shape[2:])
        return {"y": ops.conv2d(r, w["w2"], strides=(2, 2), pads=(top, left, bottom, right))}

    proto = build(nodes, [tensor("x", "batch", 4, 8, 9)], [tensor("y", "batch", 3, 3, 4)], w)
    return TinyModel("grouped_conv", proto, expected)


def depthwise_conv() -> TinyModel:
    """MobileNet's block: 1×1, depthwise with two filters a channel and Clip to [0, 6], 1×1, residual sum."""
    rng = np.random.default_rng(3)
    w = {
        "expand": normal(rng, 6, 4, 1, 1) * 3,
        "depthwise": normal(rng, 12, 1, 3, 3),
        "project": normal(rng, 4, 12, 1, 1),
        "low": np.array(0, np.float32),
        "high": np.array(6, np.float32),
    }
    nodes = [
        make_node("Conv", ["x", "expand"], ["e"]),
        make_node("Clip", ["e", "low", "high"], ["ec"]),
        make_node("Conv", ["ec", "depthwise"], ["d"], group=6, pads=[1, 1, 1, 1]),
        make_node("Clip", ["d", "low", "high"], ["dc"]),
        make_node("Conv", ["dc", "project"], ["p"]),
        make_node("Add", ["x", "p"], ["y"]),
    ]

    def expected(feed: Arrays) -> Arrays:
        e = np.clip(ops.conv2d(feed["x"], w["expand"]), 0, 6)
        d = np.clip(ops.conv2d(e, w["depthwise"], pads=(1, 1, 1, 1), group=6), 0, 6)
        return {"y": feed["x"] + ops.conv2d(d, w["project"])}

    proto = build(nodes, [tensor("x", "batch", 4, 6, 6)], [tensor("y", "batch", 4, 6, 6)], w)
    return TinyModel("depthwise_conv", proto, expected)


def pools() -> TinyModel:
    """Max and average pooling; padding that counts and that does not; `ceil_mode`; global pooling."""
    same: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    nodes = [
        make_node("MaxPool", ["x"], ["maximum"], **same),
        make_node("AveragePool", ["x"], ["outside"], count_include_pad=0, **same),
        make_node("AveragePool", ["x"], ["inside"], count_include_pad=1, **same),
        make_node("Concat", ["maximum", "outside", "inside"], ["pooled"], axis=1),
        make_node("MaxPool", ["pooled"], ["ceiled"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
        make_node("GlobalAveragePool", ["pooled"], ["g"]),
        make_node("Flatten", ["g"], ["means"]),
    ]

    def expected(feed: Arrays) -> Arrays:
        geometry = ((3, 3), (2, 2), (1, 1, 1, 1))
        means = [ops.average_pool(feed["x"], *geometry, count_include_pad=count) for count in (False, True)]
        pooled = np.concatenate([ops.max_pool(feed["x"], *geometry), *means], axis=1)
        return {"ceiled": ops.max_pool(pooled, (2, 2), (2, 2), ceil_mode=True), "means": pooled.mean(axis=(2, 3))}

    outputs = [tensor("ceiled", "batch", 6, 2, 2), tensor("means", "batch", 6)]
    return TinyModel("pools", build(nodes, [tensor("x", "batch", 2, 5, 6)], outputs, {}), expected)


def resize() -> TinyModel:
    """Enlarging as PyTorch's exporter writes it: bilinear (`half_pixel`) and nearest (`asymmetric`, `floor`)."""
    scales = {"twice": np.array([1, 1, 2, 2], np.float32), "uneven": np.array([1, 1, 2, 3], np.float32)}
    nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    nodes = [
        make_node("Resize", ["x", "", "twice"], ["a"], mode="linear", coordinate_transformation_mode="half_pixel"),
        make_node("Resize", ["x", "", "uneven"], ["b"], **nearest),
    ]

    def expected(feed: Arrays) -> Arrays:
        x = feed["x"].astype(np.float64)
        return {"a": ops.linear_resize(ops.linear_resize(x, 2, 2), 3, 2), "b": x.repeat(2, axis=2).repeat(3, axis=3)}

    outputs = [tensor("a", "batch", 2, 8, 10), tensor("b", "batch", 2, 8, 15)]
    return TinyModel("resize", build(nodes, [tensor("x", "batch", 2, 4, 5)], outputs, scales), expected)
