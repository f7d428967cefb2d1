"""Networks of one layer: the faults that this layer alone can have are made, and show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
RNG = np.random.default_rng(19)
GRU = {"w": normal(RNG, 1, 9, 4), "r": normal(RNG, 1, 9, 3), "b": uniform(RNG, -1, 1, 1, 18)}
NORM = {"s": uniform(RNG, 1, 2, 4), "t": uniform(RNG, -1, 1, 4)}
WINDOW: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
PADS = {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])}
TWICE = {"sc": np.array([1, 1, 2, 2], np.float32)}
LINEAR = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
LAYERS: list[tuple[str, str, int, tuple[int, ...], tuple[int, ...], list[str], Mapping[str, Any], dict[str, Any]]] = [
    # fault, operator, opset, shape of a sample and of its output, inputs beside x, weights, attributes
    ("another approximation of Gelu", "Gelu", 20, (64,), (64,), [], {}, {}),
    ("another epsilon", "LayerNormalization", 17, (3, 4), (3, 4), ["s", "t"], NORM, {}),
    ("another epsilon", "InstanceNormalization", 17, (4, 5, 5), (4, 5, 5), ["s", "t"], NORM, {}),
    ("another alpha of LeakyRelu", "LeakyRelu", 17, (6,), (6,), [], {}, {"alpha": 0.1}),
    ("another alpha of Elu", "Elu", 17, (6,), (6,), [], {}, {}),
    ("another alpha of HardSigmoid", "HardSigmoid", 17, (6,), (6,), [], {}, {}),
    ("HardSigmoid exchanged for Sigmoid", "HardSigmoid", 17, (6,), (6,), [], {}, {}),
    ("Sigmoid exchanged for HardSigmoid", "Sigmoid", 17, (6,), (6,), [], {}, {}),
    ("Tanh dropped", "Tanh", 17, (6,), (6,), [], {}, {}),
    ("depth to space in the other order", "DepthToSpace", 13, (8, 2, 2), (2, 4, 4), [], {}, {"blocksize": 2}),
    ("edges repeated instead of a constant", "Pad", 13, (2, 3, 3), (2, 5, 5), ["p"], PADS, {}),
    ("edges repeated instead of a constant", "Pad", 10, (2, 3, 3), (2, 5, 5), [], {}, {"pads": [0, 0, 1, 1] * 2}),
    ("MaxPool exchanged for the other", "MaxPool", 17, (2, 5, 5), (2, 5, 5), [], {}, WINDOW),
    ("AveragePool exchanged for the other", "AveragePool", 17, (2, 5, 5), (2, 5, 5), [], {}, WINDOW),
    ("padding on another side", "AveragePool", 17, (2, 5, 5), (2, 5, 5), [], {}, WINDOW),
    ("GlobalMaxPool exchanged for GlobalAveragePool", "GlobalMaxPool", 17, (2, 5, 5), (2, 1, 1), [], {}, {}),
    ("mean exchanged for maximum", "ReduceMean", 13, (3, 4), (3, 1), [], {}, {"axes": [2]}),
    ("corners aligned otherwise", "Resize", 13, (2, 3, 3), (2, 6, 6), ["", "sc"], TWICE, LINEAR),
    ("another interpolation", "Resize", 13, (2, 3, 3), (2, 6, 6), ["", "sc"], TWICE, LINEAR),
    ("another axis", "LogSoftmax", 13, (3, 4), (3, 4), [], {}, {"axis": 1}),
    ("BatchNormalization dropped", "BatchNormalization", 17, (4, 2, 2), (4, 2, 2), ["s", "t", "t", "s"], NORM, {}),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: f"{layer[1]}-{layer[2]}: {layer[0]}")
def test_the_fault_of_a_layer_shows(run: Run, make: Make, layer: tuple[Any, ...]) -> None:
    fault, op, opset, shape, made, inputs, weights, attributes = layer
    value = [tensor("x", "n", *shape), tensor("y", "n", *made)]
    proto = build([make_node(op, ["x", *inputs], ["y"], **attributes)], value[:1], value[1:], weights, opset=opset)
    copies = make(proto, fault)
    assert copies
    x = uniform(np.random.default_rng(23), -2, 2, 2, *shape)
    for description, copy in copies:
        difference = np.abs(run(copy, {"x": x})["y"] - run(proto, {"x": x})["y"]).max()
        assert difference > 1e-4, description


def test_padding_of_a_max_pool_on_another_side(make: Make) -> None:
    """By ONNX Runtime, since onnx.reference 1.23 takes pads [0, 0, 2, 2] of a MaxPool for [0, 2, 0, 2]."""
    ort = pytest.importorskip("onnxruntime")
    nodes = [make_node("MaxPool", ["x"], ["y"], **WINDOW)]
    proto = build(nodes, [tensor("x", "n", 2, 5, 5)], [tensor("y", "n", 2, 5, 5)], {})
    x = uniform(RNG, -1, 1, 2, 2, 5, 5)
    copies = make(proto, "padding on another side")
    assert len(copies) == 2
    (sound,) = ort.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    for _, copy in copies:
        (moved,) = ort.InferenceSession(copy.SerializeToString()).run(None, {"x": x})
        assert moved.shape == sound.shape
        assert np.abs(moved - sound).max() > 0.1


def test_where_a_grus_reset_gate_acts(run: Run, make: Make) -> None:
    def gru(steps: int) -> onnx.ModelProto:
        nodes = [make_node("GRU", ["x", *GRU], ["y"], hidden_size=3)]
        return build(nodes, [tensor("x", steps, 2, 4)], [tensor("y", steps, 1, 2, 3)], GRU)

    x = uniform(RNG, -1, 1, 5, 2, 4)
    ((_, copy),) = make(gru(5), "reset gate elsewhere")
    assert np.abs(run(copy, {"x": x})["y"] - run(gru(5), {"x": x})["y"]).max() > 1e-3
    assert not make(gru(1), "reset gate elsewhere")


def test_an_older_upsampling_has_another_interpolation(make: Make) -> None:
    nodes = [make_node("Upsample", ["x", "sc"], ["y"], mode="nearest")]
    proto = build(nodes, [tensor("x", "n", 2, 3, 3)], [tensor("y", "n", 2, 6, 6)], TWICE, opset=9)
    ((_, copy),) = make(proto, "another interpolation")
    assert onnx.helper.get_attribute_value(copy.graph.node[0].attribute[0]) == b"linear"


def test_a_window_of_one_place_has_no_other(make: Make) -> None:
    """A pool of one place each computes the same whatever it is called; the opposite is among the layers."""
    nodes = [make_node("MaxPool", ["x"], ["y"], kernel_shape=[1, 1])]
    proto = build(nodes, [tensor("x", "n", 2, 3, 3)], [tensor("y", "n", 2, 3, 3)], {})
    assert not make(proto, "MaxPool exchanged for the other")
    assert not make(proto, "padding on another side")
