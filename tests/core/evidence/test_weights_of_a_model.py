"""What the weights of a model are, told by its file and not by its inputs and outputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from deltann.evidence.gather import _weights
from deltann.model import load_model

HALF, BRAIN, SINGLE = TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.FLOAT


def _saved(folder: Path, types: list[tuple[int, tuple[int, ...]]]) -> Path:
    """A model from float32 to float32 with initializers of these types and shapes."""
    tensors = [
        helper.make_tensor(f"w{number}", kind, shape, np.ones(int(np.prod(shape))).tolist())
        for number, (kind, shape) in enumerate(types)
    ]
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "weights",
        [helper.make_tensor_value_info("x", SINGLE, ["n", 4])],
        [helper.make_tensor_value_info("y", SINGLE, ["n", 4])],
        tensors,
    )
    path = folder / "model.onnx"
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ([(HALF, (4, 4)), (SINGLE, (4,))], "float16"),
        ([(HALF, (4, 4)), (BRAIN, (4,))], "bfloat16"),
        ([(BRAIN, (4,))], "bfloat16"),
        ([(SINGLE, (4, 4)), (HALF, (1,)), (HALF, ())], None),
        ([(TensorProto.INT8, (4, 4))], None),
        ([], None),
    ],
)
def test_the_coarsest_type_of_more_than_one_number(
    types: list[tuple[int, tuple[int, ...]]], expected: str | None, tmp_path: Path
) -> None:
    assert _weights(load_model(_saved(tmp_path, types))) == expected


def test_another_format_is_not_looked_into(tmp_path: Path) -> None:
    model = load_model(_saved(tmp_path, [(HALF, (4, 4))]))
    assert _weights(replace(model, format="tflite")) is None
