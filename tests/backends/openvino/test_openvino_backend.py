"""OpenVINO: precisions that act and are told, options that reach the plugin, int8 by calibration, silent telemetry."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from deltann.artifact import Artifact
from deltann.backend import Telling, Tensors
from deltann.environment import Environment
from deltann.errors import Unsupported
from deltann.model import Model, load_model
from deltann.testing.models import MODELS
from deltann_openvino import OpenvinoBackend
from deltann_openvino.ir import refused

pytest.importorskip("openvino")

BACKEND = OpenvinoBackend()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return MODELS["conv_bn_relu"]().save(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def feeds(model: Model) -> list[Tensors]:
    tiny = MODELS["conv_bn_relu"]()
    return [tiny.samples(model, 2, seed) for seed in range(3)]


def _lower(model: Model, spec: str, folder: Path, batches: Sequence[Tensors] | None = None) -> Artifact:
    folder.mkdir()
    environment = Environment.parse(spec)
    if batches is not None:
        return BACKEND.lower_calibrated(model, environment, folder, batches)
    return BACKEND.lower(model, environment, folder)


def _run(artifact: Artifact, spec: str, feed: Tensors) -> tuple[np.ndarray, Mapping[str, str]]:
    with BACKEND.load(artifact, Environment.parse(spec)) as executable:
        outputs = executable.run(feed)
        assert isinstance(executable, Telling)
        return np.asarray(outputs["y"]), executable.actual()


def _error(actual: np.ndarray, feed: Tensors) -> float:
    expected = MODELS["conv_bn_relu"]().expected(feed)["y"]
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def test_float32_is_float32_and_int8_is_coarser(model: Model, feeds: list[Tensors], tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    float32, told = _run(_lower(model, "openvino-f32", tmp_path / "f32"), "openvino-f32", feeds[0])
    assert told["precision"] == "float32"
    assert _error(float32, feeds[0]) < 1e-5
    spec = "openvino-int8[samples=6]"
    int8, told = _run(_lower(model, spec, tmp_path / "int8", feeds), spec, feeds[0])
    assert told["precision"] == "int8"
    assert 1e-3 < _error(int8, feeds[0]) < 0.25


def test_the_default_precision_is_the_plugins_and_told(model: Model, feeds: list[Tensors], tmp_path: Path) -> None:
    """On a CPU with half-precision instructions it is not the model's own, and the outputs show it."""
    import openvino

    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    halves = {name for name, capability in (("bfloat16", "BF16"), ("float16", "FP16")) if capability in capabilities}
    output, told = _run(_lower(model, "openvino", tmp_path / "a"), "openvino", feeds[0])
    assert told["precision"] in (halves or {"float32"})
    assert (_error(output, feeds[0]) > 1e-4) == bool(halves)


@pytest.mark.parametrize(("precision", "capability"), [("bf16", "BF16"), ("f16", "FP16")])
def test_a_precision_that_the_cpu_lacks_is_refused_and_not_replaced(
    model: Model, feeds: list[Tensors], tmp_path: Path, precision: str, capability: str
) -> None:
    import openvino

    artifact = _lower(model, f"openvino-{precision}", tmp_path / "a")
    if capability in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        assert _run(artifact, f"openvino-{precision}", feeds[0])[1]["precision"] != "float32"
    else:
        with pytest.raises(Unsupported, match=rf"OpenVINO computes in \w+: openvino-{precision} is not to be had"):
            _run(artifact, f"openvino-{precision}", feeds[0])


def test_precision_acts_at_load_but_for_int8(model: Model, feeds: list[Tensors], tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    plain = _lower(model, "openvino", tmp_path / "plain")
    assert plain.digest == _lower(model, "openvino-f32", tmp_path / "f32").digest
    assert plain.digest != _lower(model, "openvino-int8[samples=6]", tmp_path / "int8", feeds).digest


def test_weights_are_stored_as_they_are(model: Model, tmp_path: Path) -> None:
    artifact = _lower(model, "openvino", tmp_path / "a")
    text = (artifact.folder / "model.xml").read_text()
    assert 'element_type="f32"' in text
    assert 'element_type="f16"' not in text


def test_int8_depends_on_the_samples_and_on_nothing_else(model: Model, feeds: list[Tensors], tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    spec = "openvino-int8[samples=6]"
    digests = [_lower(model, spec, tmp_path / str(number), feeds).digest for number in range(2)]
    assert digests[0] == digests[1]
    larger = [*feeds[:-1], {"x": 10 * np.asarray(feeds[-1]["x"])}]
    assert _lower(model, spec, tmp_path / "larger", larger).digest != digests[0]


def test_calibration_is_asked_for_by_int8_alone(model: Model, tmp_path: Path) -> None:
    counts = {"openvino": 0, "openvino-f32": 0, "openvino-int8": 100, "openvino-int8[samples=7]": 7}
    for spec, count in counts.items():
        assert BACKEND.calibration_samples(Environment.parse(spec)) == count
    with pytest.raises(Unsupported, match="calibrated on samples"):
        _lower(model, "openvino-int8", tmp_path / "a")
    assert BACKEND.unsupported(model, Environment.parse("openvino-int8[samples=7]")) is None
    with pytest.raises(Unsupported, match="samples is for openvino-int8"):
        _lower(model, "openvino[samples=7]", tmp_path / "b")


def test_a_model_with_nothing_to_quantise_is_no_int8_model(tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "graph", value[:1], value[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    with pytest.raises(Unsupported, match="nothing to quantise"):
        _lower(
            load_model(tmp_path / "m.onnx"), "openvino-int8[samples=2]", tmp_path / "a", [{"x": np.ones((2, 3), "f")}]
        )


def test_names_do_not_depend_on_what_was_lowered_before(tmp_path: Path) -> None:
    model = MODELS["reshape_by_shape"]().save(tmp_path)
    first = _lower(model, "openvino", tmp_path / "first")
    _lower(MODELS["pools"]().save(tmp_path), "openvino", tmp_path / "another")
    assert _lower(model, "openvino", tmp_path / "second").digest == first.digest


def test_threads_and_hint_reach_the_plugin(model: Model, feeds: list[Tensors], tmp_path: Path) -> None:
    artifact = _lower(model, "openvino-f32", tmp_path / "a")
    assert _run(artifact, "openvino-f32[threads=1]", feeds[0])[1]["threads"] == "1"
    told = _run(artifact, "openvino-f32[threads=4096]", feeds[0])[1]
    assert "threads=4096" in told["ignored"]
    output, told = _run(artifact, "openvino-f32[hint=throughput]", feeds[0])
    assert "ignored" not in told
    assert _error(output, feeds[0]) < 1e-5


def test_an_input_passed_on_as_it_is(tmp_path: Path) -> None:
    """OpenVINO drops the Identity and calls the input by the output's name."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in "abyz"]
    nodes = [helper.make_node("Identity", ["a"], ["y"]), helper.make_node("Relu", ["b"], ["z"])]
    graph = helper.make_graph(nodes, "graph", value[:2], value[2:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    artifact = _lower(load_model(tmp_path / "m.onnx"), "openvino-f32", tmp_path / "a")
    feed = {"a": np.array([1, -2, 3], "f"), "b": np.array([-4, 5, -6], "f")}
    with BACKEND.load(artifact, Environment.parse("openvino-f32")) as executable:
        outputs = executable.run(feed)
    np.testing.assert_array_equal(outputs["y"], feed["a"])
    np.testing.assert_array_equal(outputs["z"], [0, 5, 0])


def test_only_refusals_become_unsupported() -> None:
    said = "Exception from src/a.cpp:1:\nCheck 'x' failed at src/b.cpp:2:\nCPU plug-in doesn't support Foo\n\n"
    with pytest.raises(Unsupported, match=r"^OpenVINO: CPU plug-in doesn't support Foo$") as caught, refused():
        raise RuntimeError(said)
    assert str(caught.value.__cause__) == said
    with pytest.raises(RuntimeError, match="index out of range"), refused():
        raise RuntimeError("Exception from src/a.cpp:1:\nindex out of range")


_IMPORTS = """
import json, sys
from deltann_openvino.importing import import_nncf, import_openvino
import_nncf() if sys.argv[1] == "nncf" else import_openvino()
names = [name for name in ("openvino_telemetry", "torch") if sys.modules.get(name) is not None]
print(json.dumps(names))
"""


@pytest.mark.parametrize("package", ["openvino", "nncf"])
def test_neither_telemetry_nor_torch_is_imported(package: str) -> None:
    pytest.importorskip(package)
    done = subprocess.run([sys.executable, "-c", _IMPORTS, package], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []
