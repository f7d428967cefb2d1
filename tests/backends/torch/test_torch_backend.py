"""The adapter: options, variants, artifacts, refusals."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser
from onnx.reference import ReferenceEvaluator

from deltann.backend import listen, settings
from deltann.environment import Environment
from deltann.errors import Unavailable, Unsupported, UsageError
from deltann.model import Model, load_model

torch = pytest.importorskip("torch", reason="the torch backend needs torch")

from deltann_torch import TorchBackend  # noqa: E402

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
    backend, env = TorchBackend(), Environment.parse(spec)
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
        ("torch", 1e-5),
        ("torch[threads=1]", 1e-5),
        ("torch[precision=float32]", 1e-5),
        ("torch[precision=float64]", 1e-5),
        ("torch[precision=bfloat16]", 0.2),
        ("torch[precision=float16]", 0.02),
        ("torch-compile", 1e-5),
    ],
)
def test_every_variant_agrees_with_the_specification(model: Model, tmp_path: Path, spec: str, tolerance: float) -> None:
    want = _reference(model)
    with _loaded(model, spec, tmp_path / "work") as executable:
        got = executable.run(_inputs())
    assert list(got) == ["y", "same", "k"]
    for name, value in got.items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, want[name], rtol=0, atol=tolerance)


def test_a_lower_precision_is_really_computed(model: Model, tmp_path: Path) -> None:
    want = _reference(model)["y"]
    for spec in ("torch[precision=bfloat16]", "torch[precision=float16]"):
        with _loaded(model, spec, tmp_path / spec) as executable:
            assert np.abs(executable.run(_inputs())["y"] - want).max() > 1e-4


def test_threads_hold_while_loaded_and_are_given_back(model: Model, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    with _loaded(model, f"torch[threads={before + 1}]", tmp_path / "work"):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_artifacts_differ_where_lowering_does(model: Model, tmp_path: Path) -> None:
    digests = {}
    for spec in ("torch", "torch[threads=1]", "torch[precision=float64]", "torch-compile", "torch-compile[threads=1]"):
        workdir = tmp_path / spec
        workdir.mkdir()
        artifact = TorchBackend().lower(model, Environment.parse(spec), workdir)
        digests[spec] = artifact.digest
        assert artifact.files == ("inferred.json", "lowering.json", "model.onnx")
    assert digests["torch"] == digests["torch[threads=1]"]
    assert len(set(digests.values())) == 4


def test_a_compiled_artifact_that_moved_is_compiled_again(model: Model, tmp_path: Path) -> None:
    backend, env = TorchBackend(), Environment.parse("torch-compile")
    work, moved = tmp_path / "work", tmp_path / "moved"
    work.mkdir()
    moved.mkdir()
    artifact = backend.lower(model, env, work)
    assert any((work / "inductor").rglob("*"))
    for name in artifact.files:
        (moved / name).write_bytes((work / name).read_bytes())
    stages: list[str] = []
    listen(stages.append)
    try:
        with backend.load(type(artifact).of(moved, artifact.files), env) as executable:
            np.testing.assert_allclose(executable.run(_inputs())["y"], _reference(model)["y"], atol=1e-5)
    finally:
        listen(lambda _stage: None)
    assert stages == ["COMPILE", "LOAD"]


def test_read_only_inputs_are_taken_without_a_warning_and_outputs_are_the_callers_own(
    model: Model, tmp_path: Path
) -> None:
    inputs = _inputs()
    for array in inputs.values():
        array.setflags(write=False)
    with _loaded(model, "torch", tmp_path / "work") as executable, warnings.catch_warnings():
        warnings.simplefilter("error")
        first = executable.run(inputs)
        constant = first["k"].copy()
        for name in ("same", "k"):
            first[name] += 1
        np.testing.assert_array_equal(executable.run(inputs)["same"], inputs["x"])
        np.testing.assert_array_equal(executable.run(inputs)["k"], constant)


def test_inputs_of_another_shape_or_name_are_refused(model: Model, tmp_path: Path) -> None:
    with _loaded(model, "torch", tmp_path / "work") as executable:
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
    for spec in ("torch", "torch[precision=float32]"):
        with _loaded(model, spec, tmp_path / spec) as executable:
            results[spec] = executable.run({"x": x})["y"]
            assert results[spec].dtype == np.dtype(dtype)
    np.testing.assert_array_equal(results["torch[precision=float32]"], exact.astype(dtype))
    assert (results["torch"] != results["torch[precision=float32]"]).any()


def test_missing_operators_are_named_without_lowering(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> agraph (float[2] x) => (float[2] y) {
       h = Abs(x) i = Bernoulli(h) z = RandomNormalLike(i) y = RandomUniformLike(z)
    }"""
    model = _saved(parser.parse_model(text), tmp_path)
    backend, env = TorchBackend(), Environment.parse("torch")
    reason = backend.unsupported(model, env)
    assert reason == "operators not in the table: RandomNormalLike (ai.onnx 17), RandomUniformLike (ai.onnx 17)"
    with pytest.raises(Unsupported, match="RandomNormalLike"):
        backend.lower(model, env, tmp_path)


def test_every_operator_there_is_no_refusal(model: Model) -> None:
    assert TorchBackend().unsupported(model, Environment.parse("torch")) is None


@pytest.mark.parametrize(("opset", "reason"), [(6, "the table begins at 7"), (10_000, "the table is checked up to 28")])
def test_opsets_outside_the_tables_are_refused(tmp_path: Path, opset: int, reason: str) -> None:
    graph = helper.make_graph(
        [helper.make_node("Abs", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model = _saved(proto, tmp_path)
    changed = Model(**{**model.__dict__, "opset": opset})
    assert TorchBackend().unsupported(changed, Environment.parse("torch")) == f"ai.onnx opset {opset}: {reason}"


def test_external_data_comes_inside(tmp_path: Path) -> None:
    proto = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> agraph (float[600] x) => (float[600] y) { y = Mul(x, w) }'
    )
    w = np.random.default_rng(8).standard_normal(600).astype(np.float32)
    proto.graph.initializer.append(numpy_helper.from_array(w, "w"))
    onnx.save(proto, tmp_path / "net.onnx", save_as_external_data=True, location="net.bin", size_threshold=0)
    model = load_model(tmp_path / "net.onnx")
    backend, env, work = TorchBackend(), Environment.parse("torch"), tmp_path / "work"
    work.mkdir()
    artifact = backend.lower(model, env, work)
    assert artifact.files == ("inferred.json", "lowering.json", "model.onnx")
    (tmp_path / "net.bin").unlink()
    with backend.load(artifact, env) as executable:
        np.testing.assert_array_equal(executable.run({"x": np.ones(600, np.float32)})["y"], w)


def test_external_data_of_a_branch_comes_inside(tmp_path: Path) -> None:
    proto = parser.parse_model("""<ir_version: 8, opset_import: ["": 17]>
    agraph (float[600] x, bool c) => (float[600] y) {
       y = If (c) <then_branch = t () => (float[600] a) { a = Mul(x, w) },
                   else_branch = e () => (float[600] b) { b = Neg(x) }>
    }""")
    w = np.random.default_rng(9).standard_normal(600).astype(np.float32)
    (tmp_path / "branch.bin").write_bytes(w.tobytes())
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[600], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": "branch.bin", "offset": "0", "length": str(w.nbytes)}.items():
        tensor.external_data.add(key=key, value=value)
    proto.graph.node[0].attribute[0].g.initializer.append(tensor)
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    model = load_model(tmp_path / "net.onnx")
    backend, env, work = TorchBackend(), Environment.parse("torch"), tmp_path / "work"
    work.mkdir()
    artifact = backend.lower(model, env, work)
    (tmp_path / "branch.bin").unlink()
    with backend.load(artifact, env) as executable:
        got = executable.run({"x": np.ones(600, np.float32), "c": np.array(True)})["y"]
    np.testing.assert_array_equal(got, w)


@pytest.mark.parametrize(("spec", "shown"), [("torch", "float64"), ("torch[precision=float32]", "float32")])
def test_a_wrong_output_type_is_not_hidden(model: Model, tmp_path: Path, spec: str, shown: str) -> None:
    backend, env = TorchBackend(), Environment.parse(spec)
    artifact = backend.lower(model, env, tmp_path)
    with backend.load(artifact, env) as executable:
        wrong = replace(executable, module=lambda *_: [torch.ones(2, dtype=torch.float64)] * 3)
        assert wrong.run(_inputs())["y"].dtype == shown
        integers = replace(executable, module=lambda *_: [torch.ones(2, dtype=torch.int32)] * 3)
        assert integers.run(_inputs())["y"].dtype == "int32"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_that_is_not_there_is_unavailable(model: Model, tmp_path: Path) -> None:
    backend = TorchBackend()
    artifact = backend.lower(model, Environment.parse("torch"), tmp_path)
    with (
        pytest.raises(Unavailable, match="sees no CUDA device: install a CUDA build of torch"),
        backend.load(artifact, Environment.parse("torch:cuda")),
    ):
        pass


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("spec", ["torch:cuda", "torch-compile:cuda"])
def test_cuda_agrees_with_the_specification(model: Model, tmp_path: Path, spec: str) -> None:
    with _loaded(model, spec, tmp_path / "work") as executable:
        got = executable.run(_inputs())
    np.testing.assert_allclose(got["y"], _reference(model)["y"], rtol=0, atol=1e-2)  # cuDNN may use TF32


def test_no_compiler_is_unavailable(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(Unavailable, match=r"needs a C\+\+ compiler: install one"):
        TorchBackend().lower(model, Environment.parse("torch-compile"), tmp_path)


def test_unknown_values_list_what_exists() -> None:
    with pytest.raises(UsageError, match="precision takes model, float32, float64, bfloat16, float16"):
        settings(TorchBackend(), Environment.parse("torch[precision=int8]"))
    assert settings(TorchBackend(), Environment.parse("torch-compile"))["mode"] == "compile"


def test_importing_the_adapter_imports_no_torch() -> None:
    code = "import sys, deltann_torch; b = deltann_torch.TorchBackend(); b.version(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_lowering_json_says_what_was_bound(model: Model, tmp_path: Path) -> None:
    TorchBackend().lower(model, Environment.parse("torch[precision=float16]"), tmp_path)
    said = json.loads((tmp_path / "lowering.json").read_text())
    assert said["mode"] == "eager"
    assert said["precision"] == "float16"
    assert said["inputs"][0] == ["x", "float32", [2, 3, 8, 8]]
