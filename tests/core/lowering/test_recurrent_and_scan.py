"""What the attributes of recurrent operators and of Scan mean."""

from __future__ import annotations

import numpy as np
import pytest

from deltann.lowering.graph import Graph
from deltann.lowering.recurrent import Activation, activations, reversals
from deltann.lowering.scan import walk


@pytest.mark.parametrize(
    ("direction", "backwards"), [("forward", [False]), ("reverse", [True]), ("bidirectional", [False, True])]
)
def test_each_direction_has_activations_of_its_own(direction: str, backwards: list[bool]) -> None:
    attributes = {"direction": direction}
    assert reversals(attributes) == backwards
    assert activations(attributes, ["Sigmoid", "Tanh"]) == [
        [Activation("sigmoid", ()), Activation("tanh", ())] for _ in backwards
    ]


def test_parameters_go_to_those_that_take_them_in_order() -> None:
    attributes = {
        "direction": "bidirectional",
        "activations": ["LeakyRelu", "Sigmoid", "Affine", "HardSigmoid"],
        "activation_alpha": [0.3, 0.7],
        "activation_beta": [0.1],
    }
    assert activations(attributes, ["Sigmoid", "Tanh"]) == [
        [Activation("leakyrelu", (0.3,)), Activation("sigmoid", ())],
        [Activation("affine", (0.7, 0.1)), Activation("hardsigmoid", (0.2, 0.5))],
    ]


def test_a_scan_walks_first_axes_forwards_unless_told_otherwise() -> None:
    body = Graph((), {"k": np.zeros(1)}, ("state", "a", "b"), ("state", "out"))
    plain = walk({"body": body, "num_scan_inputs": 2})
    assert (plain.states, plain.inputs, plain.outputs) == (1, ((0, False), (0, False)), ((0, False),))
    told = walk({"body": body, "num_scan_inputs": 2, "scan_input_axes": [1, -1], "scan_output_directions": [1]})
    assert (told.inputs, told.outputs) == (((1, False), (-1, False)), ((0, True),))
