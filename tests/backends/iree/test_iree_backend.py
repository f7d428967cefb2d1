"""IREE: levels that change code, bytes that do not vary, workers as asked for, refusals by operator."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from deltann.artifact import Artifact
from deltann.backend import Telling, listen
from deltann.environment import Environment
from deltann.errors import Unavailable, Unsupported
from deltann.model import Model, load_model
from deltann.outcome import Stage
from deltann.testing.models import MODELS
from deltann_iree import IreeBackend
from deltann_iree.frontend import compile_mlir

pytest.importorskip("iree.compiler")
pytest.importorskip("iree.runtime")

BACKEND = IreeBackend()


def _lower(model: Model, spec: str, folder: Path) -> Artifact:
    folder.mkdir()
    return BACKEND.lower(model, Environment.parse(spec), folder)


def _save(folder: Path, nodes: list[onnx.NodeProto], kinds: dict[str, int]) -> Model:
    """A graph of inputs and one output `y`, all of shape [4]."""
    values = {name: helper.make_tensor_value_info(name, kind, [4]) for name, kind in kinds.items()}
    graph = helper.make_graph(nodes, "graph", [v for n, v in values.items() if n != "y"], [values["y"]])
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return load_model(path)


def test_convolutions_have_two_codes(tmp_path: Path) -> None:
    model = MODELS["grouped_conv"]().save(tmp_path)
    low, high = (_lower(model, f"iree-{level}", tmp_path / level).digest for level in ("O0", "O3"))
    assert low != high


def test_levels_change_the_code_and_not_the_function(tmp_path: Path) -> None:
    """IREE 3.13 makes the same of O2 and O3 for every model tried here, and its default is O0."""
    tiny = MODELS["pools"]()
    model = tiny.save(tmp_path)
    artifacts = {level: _lower(model, f"iree-{level}", tmp_path / level) for level in ("O0", "O1", "O2")}
    assert len({artifact.digest for artifact in artifacts.values()}) == 3
    samples = tiny.samples(model, 2, seed=2)
    for level, artifact in artifacts.items():
        with BACKEND.load(artifact, Environment.parse(f"iree-{level}")) as executable:
            for name, expected in tiny.expected(samples).items():
                np.testing.assert_allclose(executable.run(samples)[name], expected, rtol=1e-4, atol=1e-4)


def test_conversion_ends_before_compilation_and_bytes_repeat(tmp_path: Path) -> None:
    model = MODELS["classifier"]().save(tmp_path)
    stages: list[Stage] = []
    listen(stages.append)
    try:
        digests = {_lower(model, "iree", tmp_path / str(number)).digest for number in range(2)}
    finally:
        listen(lambda _stage: None)
    assert len(digests) == 1
    assert stages == [Stage.COMPILE] * 2


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_are_workers(tmp_path: Path, threads: int) -> None:
    tiny = MODELS["classifier"]()
    model = tiny.save(tmp_path)
    artifact = _lower(model, "iree", tmp_path / "a")
    with BACKEND.load(artifact, Environment.parse(f"iree[threads={threads}]")) as executable:
        executable.run(tiny.samples(model, 2, seed=1))
        assert isinstance(executable, Telling)
        told = executable.actual()
    assert told["threads"] == str(threads)
    assert "ignored" not in told
    assert told["device"] == json.loads((artifact.folder / "lowering.json").read_text())["cpu"][0]


def test_a_module_for_another_cpu_is_not_run(tmp_path: Path) -> None:
    artifact = _lower(MODELS["classifier"]().save(tmp_path), "iree", tmp_path / "a")
    file = artifact.folder / "lowering.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "cpu": ["i486", ""]}))
    with (
        pytest.raises(Unavailable, match="compiled for the CPU i486"),
        BACKEND.load(artifact, Environment.parse("iree")),
    ):
        pass


def test_a_refusal_names_the_operator_and_keeps_the_diagnostics(tmp_path: Path) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 2])
    graph = helper.make_graph([helper.make_node("DFT", ["x"], ["y"])], "graph", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    with pytest.raises(Unsupported, match=r"^IREE: DFT: failed to legalize") as caught:
        _lower(load_model(tmp_path / "m.onnx"), "iree", tmp_path / "a")
    assert "Diagnostics" in str(caught.value.__cause__)
    assert [file.name for file in (tmp_path / "a").iterdir()] == []


def test_a_compiler_that_fails_without_a_diagnostic_is_no_refusal(tmp_path: Path) -> None:
    from iree.compiler.tools import CompilerToolError

    with pytest.raises(CompilerToolError, match="opt-level"):
        compile_mlir(b"module {}", "O9", tmp_path / "module.vmfb")


@pytest.mark.parametrize(
    ("kind", "dtype", "values"),
    [
        (TensorProto.UINT8, np.uint8, [0, 1, 200, 255]),
        (TensorProto.INT8, np.int8, [-128, -1, 0, 127]),
        (TensorProto.UINT32, np.uint32, [0, 1, 2**31, 2**32 - 1]),
        (TensorProto.INT64, np.int64, [-(2**40), -1, 0, 2**40]),
    ],
)
def test_integers_keep_their_sign(tmp_path: Path, kind: int, dtype: type[np.integer], values: list[int]) -> None:
    model = _save(tmp_path, [helper.make_node("Where", ["c", "x", "x"], ["y"])], {
        "c": TensorProto.BOOL, "x": kind, "y": kind,
    })  # fmt: skip
    feed = {"c": np.array([True, False, True, False]), "x": np.array(values, dtype)}
    with BACKEND.load(_lower(model, "iree", tmp_path / "a"), Environment.parse("iree")) as executable:
        output = executable.run(feed)["y"]
    assert output.dtype == dtype
    np.testing.assert_array_equal(output, feed["x"])
