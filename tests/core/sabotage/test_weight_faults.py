"""Faults of layout and of weights: numbers in another order, or other numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper
from onnx.helper import make_node

from deltann.sabotage import sabotage
from deltann.testing.tiny import build, normal, tensor, uniform

Arrays = Mapping[str, npt.NDArray[Any]]
Run = Callable[[onnx.ModelProto, Arrays], dict[str, npt.NDArray[Any]]]
Make = Callable[..., list[tuple[str, onnx.ModelProto]]]
RNG = np.random.default_rng(11)


def conv(weight: npt.NDArray[Any], bias: npt.NDArray[Any] | None = None, size: int = 5) -> onnx.ModelProto:
    """One convolution that keeps the size."""
    pads = [weight.shape[2] // 2, weight.shape[3] // 2] * 2
    weights = {"w": weight} | ({"b": bias} if bias is not None else {})
    inputs, outputs = [tensor("x", "batch", weight.shape[1], size, size)], [tensor("y", "batch", None, size, size)]
    return build([make_node("Conv", ["x", *weights], ["y"], pads=pads)], inputs, outputs, weights)


def weight_of(copies: list[tuple[str, onnx.ModelProto]], name: str = "w") -> npt.NDArray[Any]:
    """The weight of the one copy."""
    ((_, copy),) = copies
    return next(numpy_helper.to_array(t) for t in copy.graph.initializer if t.name == name)


def test_kernels_in_another_order(make: Make) -> None:
    w = normal(RNG, 4, 3, 3, 3)
    np.testing.assert_array_equal(weight_of(make(conv(w), "kernel transposed")), w.transpose(0, 1, 3, 2))
    np.testing.assert_array_equal(weight_of(make(conv(w), "kernel flipped")), w[:, :, ::-1, ::-1])
    hwio = weight_of(make(conv(w), "weights read as HWIO"))
    assert hwio.shape == w.shape
    np.testing.assert_array_equal(hwio.transpose(2, 3, 1, 0).reshape(-1), w.reshape(-1))
    assert not make(conv(w), "weights transposed")
    square = normal(RNG, 4, 4, 1, 1)
    np.testing.assert_array_equal(weight_of(make(conv(square), "weights transposed")), square.swapaxes(0, 1))


def test_an_order_that_changes_nothing_is_no_fault(make: Make) -> None:
    w = normal(RNG, 4, 3, 3, 3)
    symmetric = w + w.transpose(0, 1, 3, 2)
    assert not make(conv(symmetric), "kernel transposed")
    assert make(conv(symmetric), "kernel flipped")
    assert not make(conv(w[:, :, :1, :1].copy()), "kernel flipped")
    assert not make(conv(np.ones((4, 4, 3, 3), np.float32)), "weights read as HWIO")
    # Over one place, the middle of a padded kernel is all that counts.
    assert not make(conv(w, size=1), "kernel transposed")
    assert not make(conv(w, size=1), "padding on another side")
    assert make(conv(w, size=2), "kernel flipped")


def test_flattening_in_the_order_nhwc(run: Run, make: Make) -> None:
    nodes = [make_node("Flatten", ["x"], ["f"]), make_node("Gemm", ["f", "w"], ["y"])]
    weights = {"w": normal(RNG, 12, 4)}
    proto = build(nodes, [tensor("x", "batch", 3, 2, 2)], [tensor("y", "batch", 4)], weights)
    x = uniform(RNG, -1, 1, 2, 3, 2, 2)
    ((_, copy),) = make(proto, "flattened in NHWC order")
    wanted = x.transpose(0, 2, 3, 1).reshape(2, 12) @ weights["w"]
    np.testing.assert_allclose(run(copy, {"x": x})["y"], wanted, rtol=1e-5, atol=1e-6)


def test_flattening_one_place_has_no_order(make: Make) -> None:
    nodes = [make_node("GlobalAveragePool", ["x"], ["g"]), make_node("Flatten", ["g"], ["y"])]
    proto = build(nodes, [tensor("x", "batch", 3, 2, 2)], [tensor("y", "batch", 3)], {})
    assert not make(proto, "flattened in NHWC order")


def test_rows_read_as_columns(make: Make) -> None:
    w = normal(RNG, 6, 4)
    proto = build([make_node("MatMul", ["x", "w"], ["y"])], [tensor("x", "n", 6)], [tensor("y", "n", 4)], {"w": w})
    np.testing.assert_array_equal(
        weight_of(make(proto, "rows read as columns")).reshape(-1), w.reshape(4, 6).T.reshape(-1)
    )


def test_gates_of_an_lstm(run: Run, make: Make) -> None:
    weights = {"w": normal(RNG, 1, 12, 4), "r": normal(RNG, 1, 12, 3), "b": uniform(RNG, -1, 1, 1, 24)}
    nodes = [make_node("LSTM", ["x", "w", "r", "b"], ["y"], hidden_size=3)]
    proto = build(nodes, [tensor("x", 5, 2, 4)], [tensor("y", 5, 1, 2, 3)], weights)
    copies = make(proto, "gates in another order")
    i, o, f, c = np.split(weights["w"], 4, axis=1)
    np.testing.assert_array_equal(weight_of(copies, "w"), np.concatenate([i, f, c, o], axis=1))
    x = uniform(RNG, -1, 1, 5, 2, 4)
    assert np.abs(run(copies[0][1], {"x": x})["y"] - run(proto, {"x": x})["y"]).max() > 1e-2


@pytest.mark.parametrize("severity", [1.0, 0.1, 0.01])
def test_noise_is_of_the_size_asked_for(make: Make, severity: float) -> None:
    w = normal(RNG, 32, 16, 3, 3)
    difference = weight_of(make(conv(w), "weight noised", severity)) - w
    assert np.sqrt(np.mean(difference**2)) / np.sqrt(np.mean(w**2)) == pytest.approx(severity, rel=0.1)


def test_quantised_weights_have_so_many_levels(make: Make) -> None:
    w = normal(RNG, 32, 16, 3, 3)
    assert len(np.unique(weight_of(make(conv(w), "weight quantised", 0.1)))) <= 21
    assert len(np.unique(weight_of(make(conv(w), "weight quantised", 1.0)))) <= 3


def test_biases(make: Make) -> None:
    w, b = normal(RNG, 4, 3, 3, 3), uniform(RNG, 1, 2, 4)
    np.testing.assert_array_equal(weight_of(make(conv(w, b), "bias dropped"), "b"), np.zeros(4))
    np.testing.assert_array_equal(weight_of(make(conv(w, b), "bias of the next channel"), "b"), np.roll(b, 1))


def test_biases_that_cannot_be_missed(make: Make) -> None:
    """Zeros dropped, equal values exchanged, what a normalisation takes away, and what a softmax does."""
    w, b = normal(RNG, 4, 3, 3, 3), uniform(RNG, 1, 2, 4)
    assert not make(conv(w, np.zeros(4, np.float32)), "bias dropped")
    assert not make(conv(w, np.ones(4, np.float32)), "bias of the next channel")
    weights = {"w": w, "b": b, "s": b, "t": np.zeros(4, np.float32)}
    nodes = [
        make_node("Conv", ["x", "w", "b"], ["c"]),
        make_node("InstanceNormalization", ["c", "s", "t"], ["y"]),
    ]
    proto = build(nodes, [tensor("x", "n", 3, 5, 5)], [tensor("y", "n", 4, 3, 3)], weights)
    assert not make(proto, "bias dropped")
    weights = {"w": normal(RNG, 3, 4), "b": np.full(4, 2, np.float32)}
    nodes = [make_node("Gemm", ["x", "w", "b"], ["l"]), make_node("Softmax", ["l"], ["y"])]
    proto = build(nodes, [tensor("x", "n", 3)], [tensor("y", "n", 4)], weights)
    assert not make(proto, "bias dropped")


@pytest.mark.parametrize(("part", "shows"), [("q", True), ("k", False), ("v", True)])
def test_the_bias_of_an_attentions_keys_cannot_show(run: Run, make: Make, part: str, shows: bool) -> None:
    """q·(k + b) is the same q·b away for every key; the softmax over the keys takes it away."""
    weights: dict[str, npt.NDArray[Any]] = {"scale": np.array(0.5, np.float32)}
    nodes = []
    for name in "qkv":
        weights[f"w{name}"] = normal(RNG, 4, 4)
        inputs = ["x", f"w{name}"]
        nodes.append(make_node("MatMul", inputs, [f"m{name}"]))
        if name == part:
            weights["b"] = uniform(RNG, 1, 2, 4)
            nodes.append(make_node("Add", [f"m{name}", "b"], [name]))
        else:
            nodes.append(make_node("Identity", [f"m{name}"], [name]))
    nodes += [
        make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        make_node("MatMul", ["q", "kt"], ["scores"]),
        make_node("Mul", ["scores", "scale"], ["scaled"]),
        make_node("Softmax", ["scaled"], ["shares"], axis=-1),
        make_node("MatMul", ["shares", "v"], ["y"]),
    ]
    proto = build(nodes, [tensor("x", "n", 3, 4)], [tensor("y", "n", 3, 4)], weights)
    copies = [copy for text, copy in make(proto, "bias dropped") if f"'{part}'" in text]
    assert bool(copies) == shows
    for copy in copies:
        x = uniform(RNG, -1, 1, 2, 3, 4)
        assert np.abs(run(copy, {"x": x})["y"] - run(proto, {"x": x})["y"]).max() > 1e-3


def test_mean_and_variance_exchanged(run: Run, make: Make) -> None:
    weights = {"s": uniform(RNG, 1, 2, 3), "t": uniform(RNG, 1, 2, 3), "m": uniform(RNG, -1, 1, 3)}
    weights["v"] = uniform(RNG, 1, 2, 3)
    nodes = [make_node("BatchNormalization", ["x", "s", "t", "m", "v"], ["y"])]
    proto = build(nodes, [tensor("x", "n", 3, 2, 2)], [tensor("y", "n", 3, 2, 2)], weights)
    ((_, copy),) = make(proto, "mean and variance exchanged")
    x = uniform(RNG, -1, 1, 2, 3, 2, 2)
    s, t, m, v = (weights[name].reshape(1, 3, 1, 1) for name in "stmv")
    wanted = (x - v) / np.sqrt(np.abs(m) + 1e-5) * s + t
    np.testing.assert_allclose(run(copy, {"x": x})["y"], wanted, rtol=1e-4, atol=1e-4)


def test_weights_in_constant_nodes_are_weights(make: Make) -> None:
    w = normal(RNG, 6, 4)
    nodes = [
        make_node("Constant", [], ["w"], value=numpy_helper.from_array(w)),
        make_node("MatMul", ["x", "w"], ["y"]),
    ]
    proto = build(nodes, [tensor("x", "n", 6)], [tensor("y", "n", 4)], {})
    ((_, copy),) = make(proto, "weight of the next channel")
    stored = numpy_helper.to_array(copy.graph.node[0].attribute[0].t)
    np.testing.assert_array_equal(stored, np.roll(w, 1, axis=0))


def test_all_zero_weights_have_no_faults() -> None:
    proto = conv(np.zeros((4, 3, 3, 3), np.float32))
    assert not [copy for copy in sabotage(proto, 100, 0) if copy.kind in ("layout", "weights and biases")]
