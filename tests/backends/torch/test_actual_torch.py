"""What PyTorch is said to do is what it does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from deltann.backend import ACTUAL, Telling
from deltann.environment import Environment
from deltann.model import Model, load_model

torch = pytest.importorskip("torch", reason="the torch backend needs torch")

from deltann_torch import TorchBackend  # noqa: E402

_TEXT = """
<ir_version: 8, opset_import: ["": 17]>
agraph ({kind}[2,8] x) => ({kind}[2,8] y) {{ m = MatMul(x, w) y = Tanh(m) }}
"""
_KINDS = {"float": np.float32, "float16": np.float16, "double": np.float64}


def _model(folder: Path, kind: str = "float") -> Model:
    proto = parser.parse_model(_TEXT.format(kind=kind))
    w = np.random.default_rng(3).standard_normal((8, 8)).astype(_KINDS[kind])
    proto.graph.initializer.append(numpy_helper.from_array(w, "w"))
    onnx.save(proto, folder / "net.onnx")
    return load_model(folder / "net.onnx")


def _actual(model: Model, spec: str, folder: Path) -> dict[str, str]:
    backend, env = TorchBackend(), Environment.parse(spec)
    folder.mkdir(exist_ok=True)
    spec_of = model.inputs[0]
    with backend.load(backend.lower(model, env, folder), env) as executable:
        executable.run({"x": np.random.default_rng(1).standard_normal(spec_of.static_shape).astype(spec_of.dtype)})
        assert isinstance(executable, Telling)
        facts = dict(executable.actual())
    assert set(facts) <= set(ACTUAL)
    return facts


@pytest.mark.parametrize(
    ("kind", "spec", "precision"),
    [
        ("float", "torch", "float32"),
        ("float16", "torch", "float16"),
        ("double", "torch", "float64"),
        ("float", "torch[precision=bfloat16]", "bfloat16"),
        ("float16", "torch[precision=float32]", "float32"),
    ],
)
def test_the_precision_computed_in(kind: str, spec: str, precision: str, tmp_path: Path) -> None:
    facts = _actual(_model(tmp_path, kind), spec, tmp_path / "a")
    assert facts["precision"] == precision
    assert facts["device"].startswith("cpu (")


def test_without_weights_the_inputs_tell(tmp_path: Path) -> None:
    text = _TEXT.format(kind="double").replace("m = MatMul(x, w) y = Tanh(m)", "y = Tanh(x)")
    onnx.save(parser.parse_model(text), tmp_path / "net.onnx")
    assert _actual(load_model(tmp_path / "net.onnx"), "torch", tmp_path / "a")["precision"] == "float64"


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_are_torchs_own_count(threads: int, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    assert _actual(_model(tmp_path), f"torch[threads={threads}]", tmp_path / "a")["threads"] == str(threads)
    assert _actual(_model(tmp_path), "torch", tmp_path / "b")["threads"] == str(before)


def test_compiled_tells_the_same(tmp_path: Path) -> None:
    assert _actual(_model(tmp_path), "torch-compile[threads=1]", tmp_path / "a") == _actual(
        _model(tmp_path), "torch[threads=1]", tmp_path / "b"
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda_threads_are_ignored_and_tf32_noted(tmp_path: Path) -> None:
    facts = _actual(_model(tmp_path), "torch:cuda[threads=2]", tmp_path / "a")
    assert facts["device"] == torch.cuda.get_device_name(0)
    assert facts["ignored"] == "threads=2: cuda computes"
    assert "threads" not in facts
    assert ("TF32" in facts.get("note", "")) == torch.backends.cudnn.allow_tf32
