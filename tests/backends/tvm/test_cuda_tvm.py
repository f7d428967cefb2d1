"""TVM on an NVIDIA GPU: code for one is made on any machine; where there is none, that is said and the CPU not used."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from deltann.artifact import Artifact
from deltann.environment import Environment
from deltann.errors import Unavailable
from deltann.model import Model
from deltann_tvm import TvmBackend, cuda
from deltann_tvm.ladder import LEVELS, optimise, target

sys.path.insert(0, str(Path(__file__).parent))
from tvm_models import conv_bn_relu

pytest.importorskip("tvm")

BACKEND = TvmBackend()
HOPPER = SimpleNamespace(exist=True, compute_version="9.0", device_name="a GPU of a test")


def gpu_is_here() -> bool:
    from deltann_tvm.frontend import import_tvm

    return bool(import_tvm().cuda(0).exist)


without_gpu = pytest.mark.skipif(gpu_is_here(), reason="this machine has a CUDA device")
with_gpu = pytest.mark.skipif(not gpu_is_here(), reason="TVM sees no CUDA device")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return conv_bn_relu(tmp_path_factory.mktemp("model"))


def compiled(model: Model, level: int) -> tuple[Any, list[str]]:
    """The executable for a GPU of a kind, not loaded anywhere, and what no rule scheduled."""
    import tvm

    from deltann_tvm.frontend import fold, to_relax

    machine = tvm.target.Target(cuda.target("9.0", target(level)))
    module, left = optimise(to_relax(fold(model), model)[0], level, machine)
    return tvm.compile(module, target=machine), left


def sources(executable: Any) -> list[str]:
    """The CUDA code that an executable holds."""
    modules = [*executable.mod.imports, *(inner for outer in executable.mod.imports for inner in outer.imports)]
    return [inner.inspect_source() for inner in modules if inner.kind == "cuda"]


@without_gpu
@pytest.mark.parametrize("spec", ["tvm:cuda", "tvm-O0:cuda"])
def test_no_gpu_is_unavailable_and_never_the_cpu(
    model: Model, spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TVM_CUDA_COMPILE_MODE", "nvrtc")
    with pytest.raises(Unavailable, match="TVM sees no CUDA device"):
        BACKEND.lower(model, Environment.parse(spec), tmp_path)
    assert not list(tmp_path.iterdir())


@without_gpu
def test_what_was_made_elsewhere_is_not_loaded_without_a_gpu(model: Model, tmp_path: Path) -> None:
    artifact = BACKEND.lower(model, Environment.parse("tvm-O1"), tmp_path)
    with pytest.raises(Unavailable, match="sees no CUDA"), BACKEND.load(artifact, Environment.parse("tvm-O1:cuda")):
        pass


@without_gpu
@pytest.mark.parametrize("level", [int(level) for level in LEVELS])
def test_every_kernel_gets_threads_at_every_level(model: Model, level: int) -> None:
    executable, left = compiled(model, level)
    assert left == []
    (source,) = sources(executable)
    assert source.count("__global__") >= 5  # convolutions, pooling, product, softmax
    assert source.count("__global__") == source.count('extern "C" __global__ void __launch_bounds__(')


@without_gpu
def test_levels_are_other_code(model: Model) -> None:
    plain, tuned = ("".join(sources(compiled(model, level)[0])) for level in (2, 3))
    assert plain != tuned
    assert ("__shared__" in tuned) > ("__shared__" in plain)


@without_gpu
def test_the_code_is_cuda_that_nvidias_compiler_takes(model: Model, tmp_path: Path) -> None:
    if shutil.which("nvcc") is None:
        pytest.skip("nvcc is not installed")
    (source,) = sources(compiled(model, 3)[0])
    (tmp_path / "kernels.cu").write_text(source)
    command = ["nvcc", "-arch=sm_90", "-cubin", "-o", str(tmp_path / "kernels.cubin"), str(tmp_path / "kernels.cu")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "kernels.cubin").stat().st_size > 1000


@without_gpu
def test_an_artifact_says_which_gpu_it_is_for(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TVM_CUDA_COMPILE_MODE", "nvrtc")
    monkeypatch.setattr(cuda, "gpu", lambda _tvm: HOPPER)
    env = Environment.parse("tvm:cuda")
    artifact = BACKEND.lower(model, env, tmp_path)
    assert json.loads((tmp_path / "lowering.json").read_text())["target"]["arch"] == "sm_90"
    monkeypatch.setattr(cuda, "gpu", lambda _tvm: SimpleNamespace(compute_version="8.6"))
    with pytest.raises(Unavailable, match=r"compiled for sm_90; this GPU is sm_86"), BACKEND.load(artifact, env):
        pass


@pytest.mark.parametrize(
    ("bindings", "nvcc", "mode"), [(True, None, None), (True, "/nvcc", None), (False, "/nvcc", "nvcc")]
)
def test_nvrtc_is_taken_first(
    bindings: bool, nvcc: str | None, mode: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TVM_CUDA_COMPILE_MODE", "")
    monkeypatch.setattr(cuda, "find_spec", lambda _name: object() if bindings else None)
    monkeypatch.setattr(cuda.shutil, "which", lambda _name: nvcc)
    cuda.choose_compiler()
    assert (cuda.os.environ["TVM_CUDA_COMPILE_MODE"] or None) == mode


def test_no_compiler_of_kernels_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TVM_CUDA_COMPILE_MODE", raising=False)
    monkeypatch.setattr(cuda, "find_spec", lambda _name: None)
    monkeypatch.setattr(cuda.shutil, "which", lambda _name: None)
    with pytest.raises(Unavailable, match="finds neither: pip install 'cuda-bindings'"):
        cuda.choose_compiler()


def test_a_library_without_gpu_code_is_found_out() -> None:
    kernels = SimpleNamespace(kind="cuda", imports=[])
    host = SimpleNamespace(kind="library", imports=[])
    cuda.check_placed(
        SimpleNamespace(kind="relax.VMExecutable", imports=[SimpleNamespace(kind="library", imports=[kernels])])
    )
    with pytest.raises(RuntimeError, match=r"holds code of the kinds library, relax\.VMExecutable"):
        cuda.check_placed(SimpleNamespace(kind="relax.VMExecutable", imports=[host]))


@with_gpu
@pytest.mark.parametrize("level", LEVELS)
def test_on_a_gpu_it_agrees_with_the_specification(model: Model, level: str, tmp_path: Path) -> None:
    env = Environment.parse(f"tvm-O{level}:cuda")
    artifact: Artifact = BACKEND.lower(model, env, tmp_path)
    inputs = {"x": np.random.default_rng(4).standard_normal((2, 3, 15, 15)).astype(np.float32)}
    with BACKEND.load(artifact, env) as program:
        got = program.run(inputs)["y"]
        facts = program.actual()  # type: ignore[attr-defined]  # this program is Telling
    want = ReferenceEvaluator(model.proto()).run(None, inputs)[0]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    assert "CUDA code for sm_" in facts["device"]
    assert "threads" not in facts
