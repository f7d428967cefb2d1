"""Operators beyond what the official node tests reach: each against onnx's own reference, eagerly and as a graph."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from deltann.errors import Unsupported
from deltann.lowering.graph import read_graph

tf = pytest.importorskip("tensorflow", reason="the tf backend needs tensorflow")

from deltann_tensorflow.build import build  # noqa: E402

Arrays = Mapping[str, Any]


def _model(nodes: list[Any], inputs: Arrays, outputs: list[str], fixed: Arrays, opset: int) -> Any:
    def value(name: str, array: Any) -> Any:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)

    graph = helper.make_graph(
        nodes,
        "g",
        [value(name, array) for name, array in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in fixed.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def _run(model: Any, inputs: Arrays, how: str = "graph", precision: Any = None) -> list[Any]:
    specs = {name: tf.TensorSpec(array.shape, array.dtype) for name, array in inputs.items()}
    program = build(read_graph(model), specs, precision)
    fn = program if how == "eager" else tf.function(program, autograph=False, jit_compile=how == "xla")
    return [output.numpy() for output in fn(*map(tf.constant, inputs.values()))]


def _agrees(
    nodes: list[Any], inputs: Arrays, fixed: Arrays | None = None, outputs: tuple[str, ...] = ("y",), opset: int = 22
) -> None:
    model = _model(nodes, inputs, list(outputs), fixed or {}, opset)
    wanted = ReferenceEvaluator(model).run(None, dict(inputs))
    for how in ("eager", "graph"):
        for got, want in zip(_run(model, inputs, how), wanted, strict=True):
            assert (got.dtype, got.shape) == (want.dtype, want.shape)
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def _by_torch(model: Any, inputs: Arrays) -> list[Any]:
    """The outputs by the other table."""
    torch = pytest.importorskip("torch", reason="the other table needs torch")
    from deltann_torch.build import build as torch_build

    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    metas = {name: tensor.to("meta") for name, tensor in tensors.items()}
    module = torch_build(read_graph(model), metas, None, torch.device("cpu"))
    return [output.numpy() for output in module(*tensors.values())]


def _normal(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("mode", "padding", "corners", "rank"),
    [
        *product(["nearest", "linear", "cubic"], ["zeros", "border", "reflection"], [0, 1], [2]),
        ("linear", "border", 0, 3),
    ],
)
def test_grids_reach_beyond_the_image(mode: str, padding: str, corners: int, rank: int) -> None:
    node = helper.make_node("GridSample", ["x", "grid"], ["y"], mode=mode, padding_mode=padding, align_corners=corners)
    grid = 1.5 * _normal(1, 2, *(3, 4, 2)[:rank], rank)
    inputs = {"x": _normal(0, 2, 3, *(4, 5, 3)[:rank]), "grid": grid}
    if (mode, padding) != ("cubic", "border"):
        return _agrees([node], inputs)
    # onnx's reference moves the place to the edge before it lays the filter there; onnxruntime and torch do not.
    model = _model([node], inputs, ["y"], {}, 22)
    np.testing.assert_allclose(_run(model, inputs)[0], _by_torch(model, inputs)[0], rtol=1e-4, atol=1e-5)
    return None


@pytest.mark.parametrize(("mode", "ratio"), list(product(["avg", "max"], [0, 2])))
@pytest.mark.parametrize("coordinates", ["half_pixel", "output_half_pixel"])
def test_regions_of_all_sizes_are_aligned(mode: str, ratio: int, coordinates: str) -> None:
    node = helper.make_node(
        "RoiAlign", ["x", "rois", "batch"], ["y"], mode=mode, sampling_ratio=ratio, output_height=3, output_width=2,
        spatial_scale=0.5, coordinate_transformation_mode=coordinates,
    )  # fmt: skip
    rois = np.array([[0, 0, 9, 7], [2, 3, 15, 14], [5, 1, 5, 2], [-3, -3, 30, 30], [4, 4, 2, 3]], np.float32)
    _agrees([node], {"x": np.abs(_normal(0, 2, 3, 8, 8)), "rois": rois, "batch": np.array([0, 1, 1, 0, 1])})


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.3, 0.7]), st.sampled_from([2, 2**40]), st.sampled_from([0, 1]))
def test_suppressed_boxes(seed: int, iou: float, limit: int, centre: int) -> None:
    random = np.random.default_rng(seed)
    boxes = random.uniform(0, 1, (2, 6, 4)).astype(np.float32)
    scores = random.integers(0, 4, (2, 3, 6)).astype(np.float32) / 4  # ties among them
    fixed = {"limit": np.array([limit]), "iou": np.array([iou], np.float32), "least": np.array([0.2], np.float32)}
    node = helper.make_node("NonMaxSuppression", ["boxes", "scores", *fixed], ["y"], center_point_box=centre)
    _agrees([node], {"boxes": boxes, "scores": scores}, fixed, opset=11)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("antialias", [0, 1])
def test_resize_between_convolutions(mode: str, antialias: int) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node(
            "Resize", ["a", "", "scales"], ["b"], mode=mode, antialias=antialias if mode != "nearest" else 0
        ),
        helper.make_node("Slice", ["b", "starts", "ends", "axes"], ["c"]),
        helper.make_node("Conv", ["c", "v"], ["y"]),
    ]
    fixed = {
        "w": _normal(1, 4, 3, 3, 3),
        "v": _normal(2, 2, 3, 1, 1),
        "scales": np.array([1, 1, 1.5, 0.7], np.float32),
        "starts": np.array([1, 2]),
        "ends": np.array([2**62, -1]),
        "axes": np.array([1, -2]),
    }
    _agrees(nodes, {"x": _normal(0, 2, 3, 9, 11)}, fixed)


@pytest.mark.parametrize(("axis", "block"), [(1, 0), (0, 0), (1, 2), (3, 2)])
def test_quantised_between_convolutions(axis: int, block: int) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("QuantizeLinear", ["a", "scale", "zero"], ["q"], axis=axis, block_size=block),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["b"], axis=axis, block_size=block),
        helper.make_node("Conv", ["b", "v"], ["y"]),
    ]
    shape = [2, 4, 6, 6]
    size = [(n // block if d == axis else n) for d, n in enumerate(shape)] if block else [shape[axis]]
    random = np.random.default_rng(3)
    fixed = {
        "w": _normal(1, 4, 3, 1, 1),
        "v": _normal(2, 2, 4, 1, 1),
        "scale": random.uniform(0.02, 0.1, size).astype(np.float32),
        "zero": random.integers(-20, 20, size).astype(np.int8),
    }
    _agrees(nodes, {"x": _normal(0, 2, 3, 6, 6)}, fixed)


def test_bounds_that_only_the_data_tells() -> None:
    nodes = [
        helper.make_node("Slice", ["x", "starts", "ends", "axes"], ["a"]),
        helper.make_node("TopK", ["a", "k"], ["y", "at"]),
    ]
    for start, end, k in ((1, 2**62, 3), (-4, -1, 2), (0, 4, 1)):
        inputs = {"x": _normal(0, 3, 6), "starts": np.array([start]), "ends": np.array([end]), "k": np.array([k])}
        _agrees(nodes, inputs, {"axes": np.array([1])}, ("y", "at"))


@pytest.mark.parametrize("reduction", ["add", "mul", "max", "min"])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_what_is_scattered_to_one_place_is_reduced(reduction: str, dtype: Any) -> None:
    random = np.random.default_rng(5)
    x = (10 * random.standard_normal((4, 5))).astype(dtype)
    updates = (10 * random.standard_normal((7, 5))).astype(dtype)
    rows = random.integers(-4, 4, (7, 1))
    _agrees(
        [helper.make_node("ScatterND", ["x", "at", "u"], ["y"], reduction=reduction)],
        {"x": x, "at": np.where(rows < 0, rows + 4, rows), "u": updates},
    )
    places = random.integers(0, 5, (4, 3))
    _agrees(
        [helper.make_node("ScatterElements", ["x", "at", "u"], ["y"], axis=-1, reduction=reduction)],
        {"x": x, "at": places, "u": updates[:4, :3]},
    )


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([None, 0, 1, -1]), st.sampled_from([0, 1]))
def test_unique(seed: int, axis: int | None, ordered: int) -> None:
    x = np.random.default_rng(seed).integers(0, 2, (5, 3)).astype(np.float32)
    chosen = {} if axis is None else {"axis": axis}
    node = helper.make_node("Unique", ["x"], ["y", "first", "inverse", "counts"], sorted=ordered, **chosen)
    # onnx's own reference does not run with this numpy.
    values, first, inverse, counts = np.unique(x, return_index=True, return_inverse=True, return_counts=True, axis=axis)
    order = np.arange(len(first)) if ordered else np.argsort(first)
    wanted = (np.take(values, order, axis), first[order], np.argsort(order)[inverse.reshape(-1)], counts[order])
    for how in ("eager", "graph"):
        got = _run(_model([node], {"x": x}, list(node.output), {}, 11), {"x": x}, how)
        for one, other in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(one, other)


def _body(nodes: list[Any], inputs: list[str], outputs: list[str]) -> Any:
    def value(name: str) -> Any:
        element = {"i": TensorProto.INT64, "going": TensorProto.BOOL, "more": TensorProto.BOOL}
        return helper.make_tensor_value_info(name, element.get(name, TensorProto.FLOAT), None)

    return helper.make_graph(nodes, "body", [value(name) for name in inputs], [value(name) for name in outputs])


def _loop(*, ends: bool = False, grows: bool = False, condition: str = "true") -> list[Any]:
    """Adds `x` to a state until its sum is beyond `until`, where it `ends`; the state may grow with every step."""
    step = [
        helper.make_node("Concat", ["state", "x"], ["next"], axis=0)
        if grows
        else helper.make_node("Add", ["state", "x"], ["next"])
    ]
    step.append(helper.make_node("ReduceSum", ["state"], ["sum"], keepdims=0))
    step.append(
        helper.make_node("Less", ["sum", "until"], ["more"])
        if ends
        else helper.make_node("Identity", ["going"], ["more"])
    )
    step.append(helper.make_node("Reshape", ["sum", "one"], ["scan"]))
    body = _body(step, ["i", "going", "state"], ["more", "next", "scan"])
    return [helper.make_node("Loop", ["trips", condition, "x"], ["y", "scans"], body=body)]


_FIXED = {"true": np.array(True), "one": np.array([1]), "until": np.array(9.0, np.float32)}


@pytest.mark.parametrize("grows", [False, True])
@pytest.mark.parametrize("trips", [3, 40])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("ends", [False, True])
def test_loops(grows: bool, trips: int, known: bool, ends: bool) -> None:
    x, count = {"x": np.array([0.5, 1.0], np.float32)}, {"trips": np.array(trips)}
    inputs, fixed = (x, {**_FIXED, **count}) if known else ({**x, **count}, _FIXED)
    _agrees(_loop(ends=ends, grows=grows), inputs, fixed, ("y", "scans"))


@pytest.mark.parametrize("trips", [3, 40])
def test_a_loop_of_known_length_is_compiled(trips: int) -> None:
    x, fixed = {"x": _normal(0, 2)}, {**_FIXED, "trips": np.array(trips)}
    model = _model(_loop(), x, ["y", "scans"], fixed, 22)
    for got, want in zip(_run(model, x, "xla"), ReferenceEvaluator(model).run(None, x), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4)


def test_a_loop_without_a_step_gives_its_state_back() -> None:
    # onnx's own reference takes no step at all where no condition is given.
    x, fixed = {"x": _normal(0, 2)}, {**_FIXED, "trips": np.array(0)}
    y, scans = _run(_model(_loop(condition=""), x, ["y", "scans"], fixed, 22), x)
    np.testing.assert_array_equal(y, x["x"])
    assert (scans.dtype, scans.shape) == (np.float32, (0, 1))
    y, scans = _run(_model(_loop(condition=""), x, ["y", "scans"], {**fixed, "trips": np.array(2)}, 22), x)
    np.testing.assert_allclose(y, 3 * x["x"], rtol=1e-6)
    assert scans.shape == (2, 1)


@pytest.mark.parametrize(("axis", "backwards"), list(product([0, 1, -1], [0, 1])))
def test_scan_walks_any_axis_both_ways(axis: int, backwards: int) -> None:
    body = _body([helper.make_node("Add", ["state", "item"], ["sum"])], ["state", "item"], ["sum", "sum"])
    body.output[1].name = "out"
    body.node.append(helper.make_node("Identity", ["sum"], ["out"]))
    node = helper.make_node(
        "Scan", ["s", "x"], ["last", "all"], body=body, num_scan_inputs=1, scan_input_axes=[axis],
        scan_input_directions=[backwards], scan_output_axes=[axis], scan_output_directions=[backwards],
    )  # fmt: skip
    x = _normal(0, 3, 4)
    inputs = {"s": np.zeros(np.delete(x.shape, axis), np.float32), "x": x}
    turned = np.flip(x, axis) if backwards else x
    sums = np.cumsum(turned, axis)
    for how in ("eager", "graph", "xla"):
        last, every = _run(_model([node], inputs, ["last", "all"], {}, 22), inputs, how)
        np.testing.assert_allclose(last, np.take(sums, -1, axis), rtol=1e-5)
        np.testing.assert_allclose(every, np.flip(sums, axis) if backwards else sums, rtol=1e-5)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("direction", ["reverse", "bidirectional"])
def test_recurrent_networks_agree_with_the_other_table(kind: str, direction: str) -> None:
    gates, directions, hidden = {"RNN": 1, "GRU": 3, "LSTM": 4}[kind], 1 + (direction == "bidirectional"), 3
    names = {"RNN": ["Affine"], "GRU": ["HardSigmoid", "LeakyRelu"], "LSTM": ["Sigmoid", "ScaledTanh", "Softsign"]}
    attributes: dict[str, Any] = {
        "hidden_size": hidden,
        "direction": direction,
        "activations": names[kind] * directions,
    }
    attributes |= {"activation_alpha": [0.3, 0.7][: len(names[kind])] * directions, "clip": 0.8}
    fixed = {
        "w": _normal(1, directions, gates * hidden, 4),
        "r": _normal(2, directions, gates * hidden, hidden),
        "b": _normal(3, directions, 2 * gates * hidden),
        "lengths": np.array([5, 2, 4], np.int32),
        "h": _normal(4, directions, 3, hidden),
    }
    fixed |= {"c": _normal(5, directions, 3, hidden), "p": _normal(6, directions, 3 * hidden)} if gates == 4 else {}
    outputs = ["y", "h1", "c1"] if gates == 4 else ["y", "h1"]
    node = helper.make_node(kind, ["x", *fixed], outputs, **attributes)
    x = _normal(0, 5, 3, 4)
    model = _model([node], {"x": x}, outputs, fixed, 22)
    wanted = _by_torch(model, {"x": x})
    for how in ("eager", "graph", "xla"):
        for got, want in zip(_run(model, {"x": x}, how), wanted, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("group", [1, 2])
def test_integer_convolutions(group: int) -> None:
    random = np.random.default_rng(7)
    fixed = {
        "xs": np.array(0.03, np.float32),
        "xz": np.array(120, np.uint8),
        "w": random.integers(0, 255, (4, 4 // group, 3, 2)).astype(np.uint8),
        "ws": random.uniform(0.01, 0.05, 4).astype(np.float32),
        "wz": np.array(128, np.uint8),
        "ys": np.array(0.4, np.float32),
        "yz": np.array(100, np.uint8),
        "b": random.integers(-500, 500, 4).astype(np.int32),
    }
    x = random.integers(0, 255, (2, 4, 7, 6)).astype(np.uint8)
    node = helper.make_node(
        "QLinearConv", ["x", *fixed], ["y"], group=group, pads=[1, 0, 1, 1], strides=[2, 1], dilations=[1, 2]
    )
    shifted = {"x": (x.astype(np.float64) - 120), "w": (fixed["w"].astype(np.float64) - 128), "b": fixed["b"] * 1.0}
    plain = helper.make_node(
        "Conv", ["x", "w", "b"], ["y"], **{a.name: helper.get_attribute_value(a) for a in node.attribute}
    )
    (product_,) = ReferenceEvaluator(_model([plain], shifted, ["y"], {}, 10)).run(None, shifted)
    factor = (fixed["xs"] * fixed["ws"] / fixed["ys"]).reshape(-1, 1, 1).astype(np.float64)
    want = np.clip(np.rint(product_ * factor) + 100, 0, 255).astype(np.uint8)
    assert len(np.unique(want)) > 50
    for how in ("eager", "graph", "xla"):
        (got,) = _run(_model([node], {"x": x}, ["y"], fixed, 10), {"x": x}, how)
        np.testing.assert_array_equal(got, want)


def test_more_digits_are_kept_where_they_are_asked_for() -> None:
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="cubic")
    x = {"x": np.random.default_rng(0).standard_normal((1, 1, 5, 5))}
    model = _model([node], {"x": x["x"].astype(np.float32)}, ["y"], {"scales": np.array([1, 1, 2, 2], np.float32)}, 19)
    (want,) = ReferenceEvaluator(model).run(None, x)
    (got,) = _run(model, x, precision=tf.float64)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_a_sequence_of_a_length_that_only_the_data_tells_is_refused() -> None:
    nodes = [
        helper.make_node("SplitToSequence", ["x", "size"], ["s"], axis=0),
        helper.make_node("ConcatFromSequence", ["s"], ["y"], axis=0),
    ]
    x, size = {"x": _normal(0, 5, 2)}, {"size": np.array(2)}
    _agrees(nodes, x, size)
    with pytest.raises(Unsupported, match="only the data tells"):
        _run(_model(nodes, {**x, **size}, ["y"], {}, 22), {**x, **size})
