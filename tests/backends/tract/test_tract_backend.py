"""tract: shapes bound as it needs them, refusals by name, what it tells of itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deltann.backend import Telling
from deltann.environment import Environment
from deltann.errors import Unsupported
from deltann.model import Model, load_model
from deltann.testing.models import MODELS
from deltann_tract import TractBackend

tract = pytest.importorskip("tract")

BACKEND = TractBackend()
TRACT = Environment.parse("tract")


def _save(folder: Path, nodes: list[onnx.NodeProto], outputs: list[onnx.ValueInfoProto], shape: list[int]) -> Model:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "graph", [x], outputs)
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return load_model(path)


def test_one_sample_of_an_open_batch(tmp_path: Path) -> None:
    """Batch 1 beside a symbol in the declared output: tract takes them for two numbers unless the symbol goes."""
    tiny = MODELS["conv_bn_relu"]()
    model = tiny.save(tmp_path)
    (x,) = model.inputs
    model = model.bind({"x": (1, *x.static_shape[1:])})
    samples = tiny.samples(model, 1, seed=3)
    with BACKEND.load(BACKEND.lower(model, TRACT, tmp_path), TRACT) as executable:
        np.testing.assert_allclose(executable.run(samples)["y"], tiny.expected(samples)["y"], atol=1e-5)


def test_shapes_come_out_as_integers(tmp_path: Path) -> None:
    y = helper.make_tensor_value_info("y", TensorProto.INT64, [3])
    model = _save(tmp_path, [helper.make_node("Shape", ["x"], ["y"])], [y], [2, 3, 4])
    with BACKEND.load(BACKEND.lower(model, TRACT, tmp_path), TRACT) as executable:
        shape = executable.run({"x": np.zeros((2, 3, 4), np.float32)})["y"]
    assert shape.dtype == np.int64
    assert shape.tolist() == [2, 3, 4]


def test_a_refusal_names_node_and_cause_and_keeps_the_whole_text(tmp_path: Path) -> None:
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 3])
    model = _save(tmp_path, [helper.make_node("LpPool", ["x"], ["y"], kernel_shape=[2])], [y], [1, 3, 4])
    with pytest.raises(Unsupported, match=r"^tract: .*LpPool.*: Operator can not be made a TypedOp\.?$") as caught:
        BACKEND.lower(model, TRACT, tmp_path)
    assert "Stack backtrace" in str(caught.value.__cause__)


def test_errors_while_running_are_not_refusals(tmp_path: Path) -> None:
    tiny = MODELS["conv_bn_relu"]()
    model = tiny.save(tmp_path)
    with (
        BACKEND.load(BACKEND.lower(model, TRACT, tmp_path), TRACT) as executable,
        pytest.raises(tract.TractError),
    ):
        executable.run({"x": np.zeros((1, 1), np.float32)})


def test_the_artifact_is_the_model_that_was_given(tmp_path: Path) -> None:
    """No optimiser of ours or of tract's stands between: the nodes and weights are the file's own."""
    model = MODELS["attention"]().save(tmp_path)
    (tmp_path / "a").mkdir()
    artifact = BACKEND.lower(model, TRACT, tmp_path / "a")
    ours, given = onnx.load(artifact.folder / "model.onnx").graph, onnx.load(model.path).graph
    assert list(ours.node) == list(given.node)
    for tensor, original in zip(ours.initializer, given.initializer, strict=True):
        np.testing.assert_array_equal(numpy_helper.to_array(tensor), numpy_helper.to_array(original))


def test_what_it_does_is_told(tmp_path: Path) -> None:
    tiny = MODELS["conv_bn_relu"]()
    model = tiny.save(tmp_path)
    with BACKEND.load(BACKEND.lower(model, TRACT, tmp_path), TRACT) as executable:
        executable.run(tiny.samples(model, 2, seed=1))
        assert isinstance(executable, Telling)
        assert executable.actual() == {"device": "cpu", "precision": "float32", "threads": "1"}
