"""Faults of layers' settings and of the graph, and the places where they could not show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx.helper import make_node

from deltann.testing.tiny import build, normal, tensor, uniform

Arrays = Mapping[str, npt.NDArray[Any]]
Run = Callable[[onnx.ModelProto, Arrays], dict[str, npt.NDArray[Any]]]
Make = Callable[..., list[tuple[str, onnx.ModelProto]]]
RNG = np.random.default_rng(13)


def chain(*nodes: onnx.NodeProto, shape: Sequence[int] = (4,), opset: int = 17, **weights: Any) -> onnx.ModelProto:
    """x → … → y, all of one shape."""
    return build(nodes, [tensor("x", "n", *shape)], [tensor("y", "n", *shape)], weights, opset=opset)


def attribute(copy: onnx.ModelProto, op: str, key: str) -> Any:
    """Of the only node of that operator."""
    (node,) = (node for node in copy.graph.node if node.op_type == op)
    return next(onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == key)


def pads(proto: onnx.ModelProto, make: Make) -> set[tuple[int, ...]]:
    """The pads of the copies."""
    return {tuple(attribute(copy, "Conv", "pads")) for _, copy in make(proto, "padding on another side")}


def conv(size: int, out: int, stride: int, padding: list[int], **settings: Any) -> onnx.ModelProto:
    """One 3×3 convolution."""
    node = make_node("Conv", ["x", "w"], ["y"], strides=[stride] * 2, pads=padding, **settings)
    outputs = [tensor("y", "n", 2, out, out)]
    return build([node], [tensor("x", "n", 3, size, size)], outputs, {"w": normal(RNG, 2, 3, 3, 3)})


def test_symmetric_padding_for_tensorflows(make: Make) -> None:
    """8 places by a stride of 2: SAME pads at the end alone, PyTorch on both sides; both give 4."""
    assert (0, 0, 1, 1) in pads(conv(8, 4, 2, [1, 1, 1, 1]), make)
    assert (1, 1, 1, 1) in pads(conv(8, 4, 2, [0, 0, 1, 1]), make)
    assert (1, 1, 0, 0) in pads(conv(8, 4, 2, [0, 0, 1, 1]), make)


def test_padding_that_would_change_the_size_is_not_moved(make: Make) -> None:
    assert (0, 0, 1, 1) not in pads(conv(7, 4, 2, [1, 1, 1, 1]), make)
    assert pads(conv(8, 8, 1, [1, 1, 1, 1]), make) == {(0, 0, 2, 2), (2, 2, 0, 0)}
    assert not pads(conv(8, 6, 1, [0, 0, 0, 0]), make)


def test_odd_padding_of_same(make: Make) -> None:
    def same(size: int, out: int) -> onnx.ModelProto:
        node = make_node("Conv", ["x", "w"], ["y"], strides=[2, 2], auto_pad="SAME_UPPER")
        outputs = [tensor("y", "n", 2, out, out)]
        return build([node], [tensor("x", "n", 3, size, size)], outputs, {"w": normal(RNG, 2, 3, 3, 3)})

    ((_, copy),) = make(same(8, 4), "odd padding on the other side")
    assert attribute(copy, "Conv", "auto_pad") == b"SAME_LOWER"
    assert not make(same(7, 4), "odd padding on the other side")


def test_a_dilation_ignored_keeps_the_size(make: Make) -> None:
    ((_, copy),) = make(conv(9, 9, 1, [2, 2, 2, 2], dilations=[2, 2]), "dilation ignored")
    assert (attribute(copy, "Conv", "dilations"), attribute(copy, "Conv", "pads")) == ([1, 1], [1, 1, 1, 1])
    assert not make(conv(9, 9, 1, [1, 1, 1, 1]), "dilation ignored")


@pytest.mark.parametrize("opset", [7, 10, 11, 13, 17])
def test_limits_of_a_clip(run: Run, make: Make, opset: int) -> None:
    """Attributes before opset 11, inputs since."""
    if opset < 11:
        proto = chain(make_node("Clip", ["x"], ["y"], min=0.0, max=6.0), opset=opset)
    else:
        limits = {"low": np.array(0, np.float32), "high": np.array(6, np.float32)}
        proto = chain(make_node("Clip", ["x", "low", "high"], ["y"]), opset=opset, **limits)
    x = np.array([[-1, 2, 5, 9]], np.float32)
    ((_, unlimited),) = make(proto, "upper limit lost")
    ((_, limited),) = make(proto, "another upper limit", 0.5)
    ((_, dropped),) = make(proto, "Clip dropped")
    np.testing.assert_array_equal(run(unlimited, {"x": x})["y"], [[0, 2, 5, 9]])
    np.testing.assert_array_equal(run(limited, {"x": x})["y"], [[0, 2, 4.5, 4.5]])
    np.testing.assert_array_equal(run(dropped, {"x": x})["y"], x)


def test_a_limit_shared_by_two_clips_is_changed_for_one(run: Run, make: Make) -> None:
    limits = {"low": np.array(0, np.float32), "high": np.array(6, np.float32)}
    first, second = make_node("Clip", ["x", "low", "high"], ["y"]), make_node("Clip", ["x", "low", "high"], ["z"])
    values = [tensor("y", "n", 4), tensor("z", "n", 4)]
    proto = build([first, second], [tensor("x", "n", 4)], values, limits)
    copies = make(proto, "another upper limit", 1.0)
    assert len(copies) == 2
    outputs = run(copies[0][1], {"x": np.full((1, 4), 9, np.float32)})
    assert sorted((outputs["y"].max(), outputs["z"].max())) == [3, 6]


def test_a_limit_that_nothing_reaches_is_not_moved(make: Make) -> None:
    """Behind a Sigmoid no 6 is reached, and a Clip without a maximum has none to lose; the opposite is above."""
    limits = {"low": np.array(0, np.float32), "high": np.array(6, np.float32)}
    behind = chain(make_node("Sigmoid", ["x"], ["s"]), make_node("Clip", ["s", "low", "high"], ["y"]), **limits)
    assert not make(behind, "upper limit lost")
    assert not make(behind, "Clip dropped")
    assert not make(chain(make_node("Clip", ["x"], ["y"], min=0.0), opset=7), "upper limit lost")


@pytest.mark.parametrize("passing", ["Identity", "Dropout", "Relu", "Abs", "Sigmoid", "Exp", "Softmax"])
def test_a_relu_behind_what_is_never_negative_is_not_touched(make: Make, passing: str) -> None:
    first = "Relu" if passing in ("Identity", "Dropout") else passing
    nodes = [make_node(first, ["x"], ["a"]), make_node(passing, ["a"], ["b"]), make_node("Relu", ["b"], ["y"])]
    copies = make(chain(*nodes), "Relu dropped") + make(chain(*nodes), "Relu exchanged for LeakyRelu")
    assert not [text for text, _ in copies if "'y'" in text]
    signed = [make_node("Tanh", ["x"], ["a"]), make_node("Relu", ["a"], ["y"])]
    assert make(chain(*signed), "Relu dropped")


def test_an_edge_around_what_changes_nothing_is_no_fault(make: Make) -> None:
    nodes = [
        make_node("Relu", ["x"], ["a"]),
        make_node("Identity", ["a"], ["b"]),
        make_node("Relu", ["b"], ["c"]),
        make_node("MatMul", ["c", "w"], ["y"]),
    ]
    assert not make(chain(*nodes, w=normal(RNG, 4, 4)), "edge from another node")
    signed = [make_node("Neg", ["x"], ["a"]), make_node("Relu", ["a"], ["c"]), make_node("MatMul", ["c", "w"], ["y"])]
    assert [text for text, _ in make(chain(*signed, w=normal(RNG, 4, 4)), "edge from another node")] == [
        "MatMul 'y' reads 'a' instead of 'c'"
    ]


def test_a_residual_sum(run: Run, make: Make) -> None:
    proto = chain(make_node("Relu", ["x"], ["r"]), make_node("Add", ["x", "r"], ["y"]))
    x = uniform(RNG, -1, 1, 2, 4)
    relu = np.maximum(x, 0)
    ((_, difference),) = make(proto, "sum exchanged for difference")
    np.testing.assert_array_equal(run(difference, {"x": x})["y"], x - relu)
    alone = [run(copy, {"x": x})["y"] for _, copy in make(proto, "Add with one operand lost")]
    np.testing.assert_array_equal(alone, [x, relu])


def test_epsilon_where_it_matters_only(make: Make) -> None:
    def normalisation(variance: float) -> onnx.ModelProto:
        weights = {name: uniform(RNG, 1, 2, 4) for name in "stm"} | {"v": np.full(4, variance, np.float32)}
        return chain(make_node("BatchNormalization", ["x", *weights], ["y"]), **weights)

    assert make(normalisation(0.1), "another epsilon")
    assert not make(normalisation(1e4), "another epsilon")


@pytest.mark.parametrize(("opset", "axis"), [(11, 2), (13, 2), (17, 2)])
def test_another_axis_of_a_softmax(run: Run, make: Make, opset: int, axis: int) -> None:
    proto = chain(make_node("Softmax", ["x"], ["y"], axis=1), shape=(3, 5), opset=opset)
    ((_, copy),) = make(proto, "another axis")
    assert attribute(copy, "Softmax", "axis") == axis
    x = uniform(RNG, -1, 1, 2, 3, 5)
    assert np.abs(run(copy, {"x": x})["y"] - run(proto, {"x": x})["y"]).max() > 1e-3


def test_before_opset_13_a_trailing_axis_of_one_is_no_other_axis(make: Make) -> None:
    """[n, 1, 7] is flattened to [n, 7] from axis 1 and from axis 2."""
    flat = [make_node("Softmax", ["x"], ["y"], axis=1)]
    assert not make(chain(*flat, shape=(1, 7), opset=11), "another axis")
    assert make(chain(*flat, shape=(1, 7), opset=13), "another axis")


def test_padding_counted_by_an_average(make: Make) -> None:
    def pool(padding: list[int], out: int) -> onnx.ModelProto:
        node = make_node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], pads=padding)
        return build([node], [tensor("x", "n", 2, 5, 5)], [tensor("y", "n", 2, out, out)], {})

    assert make(pool([1, 1, 1, 1], 5), "padding counted")
    assert not make(pool([0, 0, 0, 0], 3), "padding counted")


def test_places_of_a_resize(make: Make) -> None:
    def resize(scale: float, size: int, out: int, **settings: Any) -> onnx.ModelProto:
        node = make_node("Resize", ["x", "", "scales"], ["y"], **settings)
        weights = {"scales": np.array([1, 1, scale, scale], np.float32)}
        return build([node], [tensor("x", "n", 2, size, size)], [tensor("y", "n", 2, out, out)], weights)

    linear = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    assert make(resize(2, 4, 8, **linear), "corners aligned otherwise")
    assert not make(resize(8, 1, 8, **linear), "corners aligned otherwise")  # one place gives one value
    nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    assert make(resize(2, 4, 8, **nearest), "places rounded otherwise")
    assert not make(resize(0.5, 4, 2, **nearest), "places rounded otherwise")  # every second place, exactly


def test_outputs_exchanged(run: Run, make: Make) -> None:
    nodes = [make_node("Relu", ["x"], ["y"]), make_node("Neg", ["y"], ["z"])]
    proto = build(nodes, [tensor("x", "n", 4)], [tensor("y", "n", 4), tensor("z", "n", 4)], {})
    x = uniform(RNG, -1, 1, 2, 4)
    ((_, copy),) = make(proto, "outputs exchanged")
    np.testing.assert_array_equal(run(copy, {"x": x})["y"], -np.maximum(x, 0))
    np.testing.assert_array_equal(run(copy, {"x": x})["z"], np.maximum(x, 0))


def test_outputs_that_are_one_value_are_not_exchanged(make: Make) -> None:
    nodes = [make_node("Neg", ["x"], ["y"]), make_node("Identity", ["y"], ["z"])]
    proto = build(nodes, [tensor("x", "n", 4)], [tensor("y", "n", 4), tensor("z", "n", 4)], {})
    assert not make(proto, "outputs exchanged")


def test_a_softmax_done_twice(run: Run, make: Make) -> None:
    proto = chain(make_node("Softmax", ["x"], ["y"], axis=-1))
    x = uniform(RNG, -1, 1, 2, 4)
    ((_, copy),) = make(proto, "Softmax done twice")
    once = run(proto, {"x": x})["y"]
    np.testing.assert_allclose(run(copy, {"x": x})["y"], run(proto, {"x": once})["y"], rtol=1e-6)


def test_what_no_output_depends_on_is_left_alone(make: Make) -> None:
    proto = chain(make_node("Neg", ["x"], ["y"]), make_node("Relu", ["x"], ["unused"]))
    assert not make(proto, "Relu dropped")
