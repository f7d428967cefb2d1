"""The adapter: options, variants, artifacts, refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, parser
from onnx.reference import ReferenceEvaluator

from deltann.backend import Telling, listen, settings
from deltann.environment import Environment
from deltann.errors import Unavailable, Unsupported, UsageError
from deltann.model import Model, load_model

tf = pytest.importorskip("tensorflow", reason="the tf backend needs TensorFlow")

from deltann_tensorflow import TensorFlowBackend  # noqa: E402

_TEXT = """
<ir_version: 8, opset_import: ["": 17]>
agraph (float[N,3,8,8] x, int64[2] i) => (float[N,2,8,8] y, float[N,3,8,8] same, float[4] k) {
   c = Conv <pads = [1,1,1,1]> (x, w, b)
   r = Relu(c)
   y = Gather <axis = 1> (r, i)
   same = Identity(x)
   k = Identity(b)
}
"""


@pytest.fixture
def model(tmp_path: Path) -> Model:
    proto = parser.parse_model(_TEXT)
    rng = np.random.default_rng(3)
    for name, shape in (("w", (4, 3, 3, 3)), ("b", (4,))):
        proto.graph.initializer.append(numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name))
    return _saved(proto, tmp_path).bind({"x": (2, 3, 8, 8)})


def _saved(proto: onnx.ModelProto, folder: Path) -> Model:
    onnx.save(proto, folder / "net.onnx")
    return load_model(folder / "net.onnx")


def _inputs() -> dict[str, Any]:
    x = np.random.default_rng(4).standard_normal((2, 3, 8, 8)).astype(np.float32)
    return {"x": x, "i": np.array([3, 1])}


@contextmanager
def _loaded(model: Model, spec: str, workdir: Path) -> Iterator[Any]:
    backend, env = TensorFlowBackend(), Environment.parse(spec)
    workdir.mkdir(exist_ok=True)
    artifact = backend.lower(model, env, workdir)
    with backend.load(artifact, env) as executable:
        yield executable


def _reference(model: Model) -> dict[str, Any]:
    values = ReferenceEvaluator(model.proto()).run(None, _inputs())
    return dict(zip((spec.name for spec in model.outputs), values, strict=True))


@pytest.mark.parametrize(
    ("spec", "tolerance"),
    [
        ("tf", 1e-5),
        ("tf-eager", 1e-5),
        ("tf-xla", 1e-5),
        ("tf[precision=float32]", 1e-5),
        ("tf[precision=float64]", 1e-5),
        ("tf[precision=bfloat16]", 0.2),
        ("tf[precision=float16]", 0.02),
        ("tf-xla[precision=float64]", 1e-5),
    ],
)
def test_every_variant_agrees_with_the_specification(model: Model, tmp_path: Path, spec: str, tolerance: float) -> None:
    want = _reference(model)
    with _loaded(model, spec, tmp_path / "work") as executable:
        got = executable.run(_inputs())
        told = executable.actual()
    assert list(got) == ["y", "same", "k"]
    for name, value in got.items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, want[name], rtol=0, atol=tolerance)
    asked = settings(TensorFlowBackend(), Environment.parse(spec))["precision"]
    assert told["precision"] == ("float32" if asked == "model" else asked)
    assert ("compiled by XLA" in told["note"]) == ("xla" in spec)


def test_a_lower_precision_is_really_computed(model: Model, tmp_path: Path) -> None:
    want = _reference(model)["y"]
    for spec in ("tf[precision=bfloat16]", "tf[precision=float16]"):
        with _loaded(model, spec, tmp_path / spec) as executable:
            assert np.abs(executable.run(_inputs())["y"] - want).max() > 1e-4


def test_a_graph_is_traced_when_it_is_loaded_and_not_again(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deltann_tensorflow.program import Program

    calls: list[int] = []
    traced = Program.__call__
    monkeypatch.setattr(Program, "__call__", lambda self, *inputs: calls.append(1) or traced(self, *inputs))
    with _loaded(model, "tf", tmp_path / "work") as executable:
        assert len(calls) == 1
        for _ in range(3):
            executable.run(_inputs())
    assert len(calls) == 1


_CHILD = """
import sys, json
from pathlib import Path
import numpy as np
from deltann.environment import Environment
from deltann.model import load_model
from deltann_tensorflow import TensorFlowBackend
assert "tensorflow" not in sys.modules
path, spec, work = sys.argv[1:]
backend, env = TensorFlowBackend(), Environment.parse(spec)
model = load_model(path).bind({"x": (2, 3, 8, 8)})
with backend.load(backend.lower(model, env, Path(work)), env) as executable:
    rng = np.random.default_rng(4)
    executable.run({"x": rng.standard_normal((2, 3, 8, 8)).astype(np.float32), "i": np.array([3, 1])})
    print(json.dumps(executable.actual()))
"""


@pytest.mark.parametrize("onednn", ["0", "1"])
def test_onednn_and_threads_are_as_asked(model: Model, tmp_path: Path, onednn: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(model.path), f"tf[onednn={onednn},threads=3]", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    told = json.loads(done.stdout)
    assert told["threads"] == "3"
    assert told["note"] == f"oneDNN {'on' if onednn == '1' else 'off'}"


def test_keras_is_not_imported_and_is_there_for_whoever_asks(model: Model, tmp_path: Path) -> None:
    """It would be nearly half of the time that importing TensorFlow takes."""
    told = """
assert "tensorflow" in sys.modules and "keras" not in sys.modules
assert "TF_USE_LEGACY_KERAS" not in os.environ
import tensorflow as tf
assert tf.keras.layers.Dense(2)(tf.ones((1, 3))).shape == (1, 2) and "keras" in sys.modules
"""
    code = "import os\n" + _CHILD + told
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TF_")}
    command = [sys.executable, "-c", code, str(model.path), "tf", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


def test_what_comes_too_late_in_a_process_is_unavailable(model: Model, tmp_path: Path) -> None:
    with _loaded(model, "tf", tmp_path / "work"):
        running = tf.config.threading.get_intra_op_parallelism_threads()
    with pytest.raises(Unavailable, match="has begun to compute with other settings"):
        TensorFlowBackend().lower(model, Environment.parse(f"tf[threads={running + 5}]"), tmp_path)
    other = "0" if os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0" else "1"
    with pytest.raises(Unavailable, match=f"without TF_ENABLE_ONEDNN_OPTS={other}"):
        TensorFlowBackend().lower(model, Environment.parse(f"tf[onednn={other}]"), tmp_path)


def test_artifacts_differ_where_lowering_does(model: Model, tmp_path: Path) -> None:
    digests = {}
    for spec in ("tf", "tf-eager", "tf-xla", "tf[precision=float64]"):
        workdir = tmp_path / spec
        workdir.mkdir()
        artifact = TensorFlowBackend().lower(model, Environment.parse(spec), workdir)
        digests[spec] = artifact.digest
        assert artifact.files == ("lowering.json", "model.onnx")
    assert len(set(digests.values())) == 4
    said = json.loads((tmp_path / "tf-xla" / "lowering.json").read_text())
    assert (said["mode"], said["precision"]) == ("xla", "model")
    assert said["inputs"][0] == ["x", "float32", [2, 3, 8, 8]]


def test_xla_compiles_while_loading(model: Model, tmp_path: Path) -> None:
    stages: list[str] = []
    listen(stages.append)
    try:
        with _loaded(model, "tf-xla", tmp_path / "work"):
            assert stages == ["COMPILE", "LOAD"]
    finally:
        listen(lambda _stage: None)


def test_xla_refuses_what_only_python_can_do(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> agraph (float[2,3] x, int64[1] a) => (float[N,M] y) {
       y = ReduceSum(x, a) }"""
    model, backend = _saved(parser.parse_model(text), tmp_path), TensorFlowBackend()
    with pytest.raises(Unsupported, match="XLA compiles no ReduceSum whose shapes or axes only the data tells"):
        backend.lower(model, Environment.parse("tf-xla"), tmp_path)
    with _loaded(model, "tf", tmp_path / "work") as executable:
        got = executable.run({"x": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.array([1])})["y"]
        assert got.tolist() == [[3.0], [12.0]]
        assert "run in Python, outside the graph: ReduceSum" in executable.actual()["note"]


@pytest.mark.parametrize("spec", ["tf", "tf-eager", "tf-xla"])
def test_inputs_are_left_alone_and_outputs_are_the_callers_own(model: Model, tmp_path: Path, spec: str) -> None:
    inputs = _inputs()
    for array in inputs.values():
        array.setflags(write=False)
    with _loaded(model, spec, tmp_path / "work") as executable:
        assert isinstance(executable, Telling)
        first = executable.run(inputs)
        constant = first["k"].copy()
        for name in ("same", "k"):
            first[name] += 1
        np.testing.assert_array_equal(executable.run(inputs)["same"], inputs["x"])
        np.testing.assert_array_equal(executable.run(inputs)["k"], constant)


def test_inputs_of_another_shape_or_name_are_refused(model: Model, tmp_path: Path) -> None:
    with _loaded(model, "tf", tmp_path / "work") as executable:
        with pytest.raises(ValueError, match=r"'x' has the shape \[1, 3, 8, 8\]; the model was lowered for"):
            executable.run({**_inputs(), "x": _inputs()["x"][:1]})
        with pytest.raises(ValueError, match="takes the inputs"):
            executable.run({"x": _inputs()["x"]})


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_models_keep_their_types_or_are_raised(tmp_path: Path, dtype: Any) -> None:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    io = [helper.make_tensor_value_info(name, element, [64]) for name in "xy"]
    w = np.random.default_rng(5).standard_normal(64).astype(dtype)
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["h"]), helper.make_node("Exp", ["h"], ["y"])],
        "g",
        io[:1],
        io[1:],
        [numpy_helper.from_array(w, "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model = _saved(proto, tmp_path)
    x = np.random.default_rng(6).standard_normal(64).astype(dtype)
    exact = np.exp(x.astype(np.float64) * w.astype(np.float64))
    results = {}
    for spec in ("tf-eager", "tf[precision=float32]"):
        with _loaded(model, spec, tmp_path / spec) as executable:
            results[spec] = executable.run({"x": x})["y"]
            assert results[spec].dtype == np.dtype(dtype)
    np.testing.assert_array_equal(results["tf[precision=float32]"], exact.astype(dtype))
    assert (results["tf-eager"] != results["tf[precision=float32]"]).any()


def test_missing_operators_are_named_without_lowering(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> agraph (float[2] x) => (float[2] y) {
       h = Abs(x) z = RandomNormalLike(h) y = RandomUniformLike(z)
    }"""
    model = _saved(parser.parse_model(text), tmp_path)
    backend, env = TensorFlowBackend(), Environment.parse("tf")
    reason = backend.unsupported(model, env)
    assert reason == "operators not in the table: RandomNormalLike (ai.onnx 17), RandomUniformLike (ai.onnx 17)"
    with pytest.raises(Unsupported, match="RandomNormalLike"):
        backend.lower(model, env, tmp_path)


def test_every_operator_there_is_no_refusal(model: Model) -> None:
    assert TensorFlowBackend().unsupported(model, Environment.parse("tf")) is None


@pytest.mark.parametrize(("opset", "reason"), [(6, "the table begins at 7"), (10_000, "the table is checked up to 28")])
def test_opsets_outside_the_tables_are_refused(model: Model, opset: int, reason: str) -> None:
    changed = replace(model, opset=opset)
    assert TensorFlowBackend().unsupported(changed, Environment.parse("tf")) == f"ai.onnx opset {opset}: {reason}"


def test_external_data_comes_inside(tmp_path: Path) -> None:
    proto = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> agraph (float[600] x) => (float[600] y) { y = Mul(x, w) }'
    )
    w = np.random.default_rng(8).standard_normal(600).astype(np.float32)
    proto.graph.initializer.append(numpy_helper.from_array(w, "w"))
    onnx.save(proto, tmp_path / "net.onnx", save_as_external_data=True, location="net.bin", size_threshold=0)
    model = load_model(tmp_path / "net.onnx")
    backend, env, work = TensorFlowBackend(), Environment.parse("tf"), tmp_path / "work"
    work.mkdir()
    artifact = backend.lower(model, env, work)
    (tmp_path / "net.bin").unlink()
    with backend.load(artifact, env) as executable:
        np.testing.assert_array_equal(executable.run({"x": np.ones(600, np.float32)})["y"], w)


@pytest.mark.parametrize(("spec", "shown"), [("tf-eager", "float64"), ("tf-eager[precision=float32]", "float32")])
def test_a_wrong_output_type_is_not_hidden(model: Model, tmp_path: Path, spec: str, shown: str) -> None:
    with _loaded(model, spec, tmp_path / "work") as executable:
        wrong = replace(executable, program=lambda *_: [tf.ones(2, tf.float64)] * 3)
        assert wrong.run(_inputs())["y"].dtype == shown
        integers = replace(executable, program=lambda *_: [tf.ones(2, tf.int32)] * 3)
        assert integers.run(_inputs())["y"].dtype == "int32"


def test_unknown_values_list_what_exists() -> None:
    with pytest.raises(UsageError, match="precision takes model, float32, float64, bfloat16, float16"):
        settings(TensorFlowBackend(), Environment.parse("tf[precision=int8]"))
    assert settings(TensorFlowBackend(), Environment.parse("tf-xla"))["mode"] == "xla"


def test_importing_the_adapter_imports_no_tensorflow() -> None:
    code = "import sys, deltann_tensorflow as d; d.TensorFlowBackend().version(); print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
