"""What is constant is computed before TVM's importer sees it: whatever the opset, and whatever else is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, defs, helper, numpy_helper

pytest.importorskip("tvm")

from deltann.model import Model, load_model
from deltann_tvm.frontend import fold


@pytest.fixture(params=[17, defs.onnx_opset_version()])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Model:
    """A Reshape to what is computed from the input's shape, as exporters write a Flatten."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Slice", ["shape", "zero", "one"], ["rows"]),
        helper.make_node("Concat", ["rows", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["flat"]),
        helper.make_node("Relu", ["flat"], ["y"]),
    ]
    constants = {"zero": 0, "one": 1, "rest": -1}
    graph = helper.make_graph(
        nodes,
        "flatten",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 12])],
        [numpy_helper.from_array(np.array([value]), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", request.param)]
    path = tmp_path / "flatten.onnx"
    onnx.save_model(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return load_model(path).bind({"x": (2, 3, 4)})


def test_shapes_are_folded_by_no_other_engine(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    folded = fold(model)
    assert [node.op_type for node in folded.graph.node] == ["Reshape", "Relu"]
    (target,) = (t for t in folded.graph.initializer if t.name == folded.graph.node[0].input[1])
    assert numpy_helper.to_array(target).tolist() == [2, -1]


def test_folding_again_gives_the_same_bytes(model: Model) -> None:
    assert fold(model).SerializeToString(deterministic=True) == fold(model).SerializeToString(deterministic=True)
