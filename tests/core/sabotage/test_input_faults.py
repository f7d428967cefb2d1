"""Faults of preprocessing and of input dimensions, each against numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx.helper import make_node, make_opsetid

from deltann.sabotage import sabotage
from deltann.testing.tiny import build, normal, tensor, uniform

Arrays = Mapping[str, npt.NDArray[Any]]
Run = Callable[[onnx.ModelProto, Arrays], dict[str, npt.NDArray[Any]]]
Make = Callable[..., list[tuple[str, onnx.ModelProto]]]
RNG = np.random.default_rng(7)
CONV = [make_node("Conv", ["x", "w"], ["y"])]
KERNEL = normal(RNG, 2, 3, 3, 3)


def conv(height: int = 6, width: int = 6, kernel: npt.NDArray[Any] = KERNEL, opset: int = 17) -> onnx.ModelProto:
    """One convolution of a picture."""
    size = kernel.shape[2]
    outputs = [tensor("y", "batch", len(kernel), height - size + 1, width - size + 1)]
    return build(CONV, [tensor("x", "batch", kernel.shape[1], height, width)], outputs, {"w": kernel}, opset=opset)


def picture(height: int = 6, width: int = 6, channels: int = 3) -> npt.NDArray[np.float32]:
    """Two samples."""
    return uniform(np.random.default_rng(9), -1, 1, 2, channels, height, width)


def only(copies: list[tuple[str, onnx.ModelProto]]) -> onnx.ModelProto:
    """The copy, of which there is one."""
    ((_, copy),) = copies
    return copy


@pytest.mark.parametrize("opset", [7, 8, 9, 10, 11, 12, 13, 17, 18, 20, 23])
@pytest.mark.parametrize("severity", [1.0, 0.1])
def test_what_each_input_fault_does_to_a_picture(run: Run, make: Make, opset: int, severity: float) -> None:
    """Of all opsets: the copy answers what the sound model answers to the picture so spoilt."""
    proto, x = conv(opset=opset), picture()
    largest = np.abs(x).max(axis=(1, 2, 3), keepdims=True)
    factors = np.array([1 + 0.3 * severity, 1, 1 - 0.3 * severity]).reshape(1, 3, 1, 1)
    means = severity * np.array([0.25, -0.125, 0.1875]).reshape(1, 3, 1, 1)
    step = largest / max(2, round(4 / severity))
    shift = np.clip(np.arange(6) - 1, 0, 5)
    spoilt = {
        "channels reversed": x[:, ::-1],
        "another scale": x * (1 + severity),
        "another mean": x + largest * means,
        "another standard deviation a channel": x * factors,
        "input quantised": np.floor(x / step + 0.5) * step,
        "height and width exchanged": x.swapaxes(2, 3),
        "shifted": x[:, :, shift][..., shift],
    }
    for name, expected in spoilt.items():
        copy = only(make(proto, name, severity))
        wanted = run(proto, {"x": expected.astype(np.float32)})["y"]
        np.testing.assert_allclose(run(copy, {"x": x})["y"], wanted, rtol=1e-4, atol=1e-4, err_msg=name)


def test_a_picture_of_other_sides_is_read_by_the_wrong_ones(run: Run, make: Make) -> None:
    x = picture(4, 6)
    wanted = run(conv(4, 6), {"x": x.reshape(2, 3, 6, 4).swapaxes(2, 3).copy()})["y"]
    copy = only(make(conv(4, 6), "height and width exchanged"))
    np.testing.assert_allclose(run(copy, {"x": x})["y"], wanted, rtol=1e-5, atol=1e-6)


def test_weights_alike_for_all_channels_cannot_tell_their_order(make: Make) -> None:
    """The weights of `light_*` models are constant; the opposite is above."""
    alike = np.broadcast_to(KERNEL[:, :1], KERNEL.shape).copy()
    assert not make(conv(kernel=alike), "channels reversed")
    assert not make(conv(kernel=np.full_like(KERNEL, 0.1)), "channels reversed")


def test_symmetric_kernels_cannot_tell_height_from_width(make: Make) -> None:
    symmetric = KERNEL + KERNEL.swapaxes(2, 3)
    assert not make(conv(kernel=symmetric), "height and width exchanged")
    assert not make(conv(kernel=KERNEL[:, :, :1, :1].copy()), "height and width exchanged")


def test_flattening_tells_height_from_width(make: Make) -> None:
    nodes = [make_node("Flatten", ["x"], ["f"]), make_node("Gemm", ["f", "w"], ["y"])]
    weights = {"w": normal(RNG, 27, 2)}
    proto = build(nodes, [tensor("x", "batch", 3, 3, 3)], [tensor("y", "batch", 2)], weights)
    assert make(proto, "height and width exchanged")


def test_what_is_normalised_at_once_has_neither_scale_nor_mean(make: Make) -> None:
    weights = {"s": uniform(RNG, 1, 2, 3), "b": uniform(RNG, 1, 2, 3)}
    value = [tensor(name, "batch", 3, 4, 4) for name in "xy"]
    nodes = [make_node("InstanceNormalization", ["x", "s", "b"], ["y"])]
    proto = build(nodes, [value[0]], [value[1]], weights)
    assert not make(proto, "another scale")
    assert not make(proto, "another mean")
    assert make(proto, "input quantised")


def test_channels_may_come_last(run: Run, make: Make) -> None:
    nodes = [make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]), make_node("Conv", ["t", "w"], ["y"])]
    proto = build(nodes, [tensor("x", "batch", 6, 6, 3)], [tensor("y", "batch", 2, 4, 4)], {"w": KERNEL})
    x = picture().transpose(0, 2, 3, 1).copy()
    wanted = run(proto, {"x": x[..., ::-1].copy()})["y"]
    np.testing.assert_allclose(run(only(make(proto, "channels reversed")), {"x": x})["y"], wanted, rtol=1e-5)
    shift = np.clip(np.arange(6) - 1, 0, 5)
    wanted = run(proto, {"x": x[:, shift][:, :, shift]})["y"]
    np.testing.assert_allclose(run(only(make(proto, "shifted")), {"x": x})["y"], wanted, rtol=1e-5, atol=1e-6)


def tokens(dtype: type[np.integer[Any]] = np.int64) -> onnx.ModelProto:
    """A sum of words, of a vocabulary of 20."""
    nodes = [make_node("Gather", ["words", "x"], ["e"]), make_node("ReduceMean", ["e"], ["y"], axes=[1], keepdims=0)]
    weights = {"words": normal(RNG, 20, 4)}
    return build(nodes, [tensor("x", "batch", 5, dtype=dtype)], [tensor("y", "batch", 4)], weights)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_token_ids(run: Run, make: Make, dtype: type[np.integer[Any]]) -> None:
    x = np.array([[0, 1, 5, 9, 19], [10, 11, 12, 13, 14]], dtype)
    proto = tokens(dtype)
    wanted = {
        "token ids shifted by one": np.maximum(x - 1, 0),
        "rare tokens unknown": np.where(x < 10, x, 2),
        "shifted": x[:, [0, 0, 1, 2, 3]],
        "truncated": np.minimum(x, 1 << 30)[:, [0, 1, 2, 2, 2]],
    }
    for name, spoilt in wanted.items():
        copy = only(make(proto, name))
        np.testing.assert_allclose(
            run(copy, {"x": x})["y"], run(proto, {"x": spoilt.astype(dtype)})["y"], rtol=1e-5, atol=1e-6, err_msg=name
        )


def test_tokens_are_no_picture() -> None:
    kinds = {copy.description for copy in sabotage(tokens(), 40, 0) if copy.kind == "preprocessing"}
    assert len(kinds) == 2


def test_an_input_that_no_output_depends_on_has_no_faults() -> None:
    nodes = [make_node("Conv", ["x", "w"], ["y"])]
    inputs = [tensor("x", "batch", 3, 6, 6), tensor("unused", "batch", 3, 6, 6)]
    proto = build(nodes, inputs, [tensor("y", "batch", 2, 4, 4)], {"w": KERNEL})
    assert not [copy for copy in sabotage(proto, 100, 0) if "'unused'" in copy.description]


def test_open_sizes_leave_the_colours(make: Make) -> None:
    outputs = [tensor("y", "batch", 2, "h2", "w2")]
    proto = build(CONV, [tensor("x", "batch", 3, "h", "w")], outputs, {"w": KERNEL})
    assert make(proto, "channels reversed")
    assert not [copy for copy in sabotage(proto, 100, 0) if copy.kind == "input dimensions"]


def test_a_subgraph_reads_the_spoilt_input_too(run: Run, make: Make) -> None:
    """What a branch takes from around it is renamed in the branch."""
    branches = {
        name: onnx.helper.make_graph([make_node(op, ["x"], [f"{op}_out"])], name, [], [tensor(f"{op}_out", "batch", 4)])
        for name, op in (("then_branch", "Neg"), ("else_branch", "Abs"))
    }
    condition = [make_node("Constant", [], ["yes"], value=onnx.numpy_helper.from_array(np.array(True)))]
    nodes = [*condition, make_node("If", ["yes"], ["y"], **branches)]
    graph = onnx.helper.make_graph(nodes, "g", [tensor("x", "batch", 4)], [tensor("y", "batch", 4)])
    proto = onnx.helper.make_model(graph, opset_imports=[make_opsetid("", 17)], ir_version=8)
    x = uniform(RNG, 1, 2, 2, 4)
    np.testing.assert_allclose(run(only(make(proto, "another scale")), {"x": x})["y"], -2 * x, rtol=1e-6)
