"""Where ONNX Runtime really puts nodes: never silently on the CPU. GPUs are imitated where there is none."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from onnx import helper

onnxruntime = pytest.importorskip("onnxruntime", reason="the ort backend needs onnxruntime")

sys.path.insert(0, str(Path(__file__).parent))
from ort_models import save  # noqa: E402

from deltann.environment import Environment  # noqa: E402
from deltann.errors import Unavailable, Unsupported  # noqa: E402
from deltann.model import Model  # noqa: E402
from deltann_ort import OrtBackend, executable, session  # noqa: E402
from deltann_ort.actual import Placement, built_anew, tf32  # noqa: E402

BACKEND = OrtBackend()
CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
has_cuda = CUDA in onnxruntime.get_available_providers()


@pytest.fixture
def model(tmp_path: Path) -> Model:
    w = np.random.default_rng(1).standard_normal((8, 8)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Relu", ["m"], ["y"])]
    return save(tmp_path / "model", nodes, {"w": w})


def asked(registered: tuple[str, ...], placed: dict[tuple[str, str], int], **options: dict[str, str]) -> Any:
    """A session that tells of these providers, nodes and options."""
    parts = [
        SimpleNamespace(ep_name=name, get_nodes=lambda op=op, n=n: [SimpleNamespace(op_type=op)] * n)
        for (name, op), n in placed.items()
    ]
    return SimpleNamespace(
        get_providers=lambda: list(registered),
        get_provider_graph_assignment_info=lambda: parts,
        get_provider_options=lambda: {name: options.get(name, {}) for name in registered},
    )


def test_a_real_session_tells_of_its_nodes(model: Model, tmp_path: Path) -> None:
    env, folder = Environment.parse("ort-O0"), tmp_path / "a"
    folder.mkdir()
    with BACKEND.load(BACKEND.lower(model, env, folder), env) as program:
        found = program._placement  # type: ignore[attr-defined]
    assert found.nodes == Counter({(CPU, "MatMul"): 1, (CPU, "Relu"): 1})
    assert str(found) == CPU
    assert found.unused([CPU]) == []
    assert found.ignored([CPU]) == ""


@pytest.mark.parametrize(
    ("placed", "told", "ignored"),
    [
        ({(CUDA, "Conv"): 4, (CUDA, "Relu"): 3}, f"{CUDA} (7 of 7 nodes)", ""),
        ({(CUDA, "Conv"): 4, (CPU, "Shape"): 2}, f"{CUDA} (4 of 6 nodes), {CPU} (2 of 6 nodes)", ""),
        (
            {(CUDA, "Conv"): 3, (CPU, "Conv"): 1},
            f"{CUDA} (3 of 4 nodes), {CPU} (1 of 4 nodes)",
            f"providers={CUDA}: 1 of 4 Conv/Gemm/MatMul run on {CPU}",
        ),
    ],
)
def test_products_that_a_gpu_left_to_the_cpu_are_named(
    placed: dict[tuple[str, str], int], told: str, ignored: str
) -> None:
    found = Placement.of(asked((CUDA, CPU), placed))
    assert str(found) == told
    assert found.ignored([CUDA]) == ignored
    assert found.unused([CUDA]) == []


def test_a_provider_beside_another_that_takes_nothing_is_named() -> None:
    found = Placement.of(asked((TENSORRT, CUDA, CPU), {(CUDA, "Conv"): 4}))
    assert found.unused([TENSORRT, CUDA]) == [TENSORRT]
    assert found.ignored([TENSORRT, CUDA]) == f"providers={TENSORRT}+{CUDA}: {TENSORRT}, to which no node went"


def test_a_version_that_does_not_tell_says_so() -> None:
    silent = SimpleNamespace(get_providers=lambda: [CUDA, CPU])
    found = Placement.of(silent)
    assert str(found) == f"{CUDA}, {CPU} (this version does not tell which nodes went where)"
    assert found.unused([CUDA]) == []
    assert found.ignored([CUDA]) == ""


def test_a_model_that_a_provider_takes_nothing_of_is_unsupported(model: Model, tmp_path: Path) -> None:
    """The one real provider of the CPU build that takes nothing stands for a GPU's."""
    if "AzureExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has no provider that takes no node")
    env, folder = Environment.parse("ort[providers=AzureExecutionProvider]"), tmp_path / "a"
    folder.mkdir()
    artifact = BACKEND.lower(model, env, folder)
    with (
        pytest.raises(Unsupported, match=r"AzureExecutionProvider takes no node of this model: CPUExecutionProvider"),
        BACKEND.load(artifact, env),
    ):
        pass


@pytest.mark.parametrize(("registered", "lost"), [((CPU,), TENSORRT), ((CUDA, CPU), TENSORRT), ((TENSORRT, CPU), CUDA)])
def test_a_provider_that_ort_dropped_is_unavailable(
    registered: tuple[str, ...], lost: str, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = SimpleNamespace(get_providers=lambda: list(registered))
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_args, **_options: opened)
    with pytest.raises(Unavailable, match=f"could not load {lost} and fell back to {', '.join(registered)}"):
        session.open_session(model.path, None, [TENSORRT, CUDA])


def test_providers_in_another_order_are_unavailable(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is dropped, and yet nodes would go to the other first."""
    opened = SimpleNamespace(get_providers=lambda: [TENSORRT, CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_args, **_options: opened)
    with pytest.raises(Unavailable, match=f"registered {TENSORRT}, {CUDA}, {CPU} where {CUDA}, {TENSORRT} was asked"):
        session.open_session(model.path, None, [CUDA, TENSORRT])


def test_what_ort_kept_is_opened(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = SimpleNamespace(get_providers=lambda: [TENSORRT, CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_args, **_options: opened)
    assert session.open_session(model.path, None, [TENSORRT, CUDA]) is opened


@pytest.mark.parametrize(("device", "loaded"), [("cuda", True), (None, False)])
def test_cudas_libraries_are_loaded_for_cuda_alone(
    device: str | None, loaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[None] = []
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: calls.append(None))
    session.providers_of({"providers": None}, device)
    assert bool(calls) == loaded


@pytest.mark.skipif(has_cuda, reason="this ONNX Runtime has CUDA")
@pytest.mark.parametrize("spec", ["ort:cuda", f"ort:cuda[providers={TENSORRT}]"])
def test_a_cpu_build_says_which_package_has_cuda(spec: str, model: Model, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="pip uninstall onnxruntime, then pip install onnxruntime-gpu"):
        BACKEND.lower(model, Environment.parse(spec), tmp_path)


@pytest.mark.parametrize(
    ("registered", "options", "override", "told"),
    [
        ((CUDA, CPU), {CUDA: {"use_tf32": "1"}}, None, f"{CUDA} may compute float32 products in TF32 (use_tf32=1)"),
        ((CUDA, CPU), {CUDA: {"use_tf32": "0"}}, None, ""),
        ((CUDA, CPU), {CUDA: {"use_tf32": "1"}}, "0", ""),
        ((TENSORRT, CPU), {}, None, f"{TENSORRT} may compute float32 products in TF32 (TensorRT's own choice)"),
        ((TENSORRT, CPU), {}, "0", ""),
        ((CPU,), {}, None, ""),
    ],
)
def test_tf32_is_stated(
    registered: tuple[str, ...], options: Any, override: str | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    if override is not None:
        monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", override)
    assert tf32(asked(registered, {}, **options)) == told


def test_what_tensorrt_may_do_otherwise_is_stated() -> None:
    assert "the next load may choose others" in built_anew(asked((TENSORRT, CUDA, CPU), {}))
    assert built_anew(asked((CUDA, CPU), {})) == ""


@pytest.mark.skipif(not has_cuda, reason="this ONNX Runtime has no CUDA")
def test_on_a_gpu_it_computes_there(model: Model, tmp_path: Path) -> None:
    env = Environment.parse("ort:cuda")
    try:
        with BACKEND.load(BACKEND.lower(model, env, tmp_path), env) as program:
            assert isinstance(program, executable.OrtExecutable)
            x = np.random.default_rng(2).standard_normal((2, 16, 8, 8)).astype(np.float32)
            got = program.run({"x": x})["y"]
            facts = program.actual()
    except Unavailable as error:
        pytest.skip(str(error))
    w = np.random.default_rng(1).standard_normal((8, 8)).astype(np.float32)
    np.testing.assert_allclose(got, np.maximum(x @ w, 0), rtol=0, atol=5e-2)  # perhaps in TF32
    assert facts["device"].startswith(CUDA)
    assert "TF32" in facts["note"]
