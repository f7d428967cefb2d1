"""TVM on an NVIDIA GPU: code for one is made on any machine; where there is none, that is said and the CPU not used."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from deltann.artifact import Artifact
from deltann.environment import Environment
from deltann.errors import Unavailable
from deltann.model import Model
from deltann_tvm import TvmBackend, _Program, cuda
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
def test_no_gpu_is_unavailable_and_never_the_cpu(model: Model, spec: str, tmp_path: Path) -> None:
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
@pytest.mark.parametrize("by", ["nvcc", "nvrtc"])
def test_the_code_is_cuda_that_nvidias_compilers_take(model: Model, by: str) -> None:
    if by == "nvcc" and shutil.which("nvcc") is None:
        pytest.skip("nvcc is not installed")
    if by == "nvrtc" and not cuda._nvrtc_loads():
        pytest.skip("NVRTC or its headers are not installed: pip install cuda-bindings nvidia-cuda-nvrtc")
    import tvm
    from tvm.support.nvcc import compile_cuda

    (source,) = sources(compiled(model, 3)[0])
    with tvm.target.Target(cuda.target("9.0", target(3))):
        assert len(compile_cuda(source, target_format="cubin", arch="sm_90", compiler=by)) > 1000
        with pytest.raises(RuntimeError, match="error"):
            compile_cuda(source.replace("__global__", "__globul__"), "cubin", arch="sm_90", compiler=by)


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
    ("nvcc", "nvrtc", "asked", "level", "by", "fast_math"),
    [
        (True, True, "", 3, "nvcc", False),
        (True, True, "", 4, "nvcc", True),
        (True, False, "", 4, "nvcc", True),
        (False, True, "", 0, "nvrtc", True),
        (True, True, "nvrtc", 0, "nvrtc", True),
        (False, False, "nvcc", 0, "nvcc", False),
    ],
)
def test_approximations_are_for_the_last_level_where_that_can_be_helped(
    nvcc: bool, nvrtc: bool, asked: str, level: int, by: str, fast_math: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TVM_CUDA_COMPILE_MODE", asked)
    monkeypatch.delenv("TVM_CUDA_NVCC_NO_FAST_MATH", raising=False)
    monkeypatch.setattr(cuda.shutil, "which", lambda _name: "nvcc" if nvcc else None)
    monkeypatch.setattr(cuda, "_nvrtc_loads", lambda: nvrtc)
    with cuda.compiler(level) as found:
        assert found == {"by": by, "fast_math": fast_math}
        assert os.environ["TVM_CUDA_COMPILE_MODE"] == by
        assert ("TVM_CUDA_NVCC_NO_FAST_MATH" in os.environ) == (not fast_math)
    assert os.environ["TVM_CUDA_COMPILE_MODE"] == asked
    assert "TVM_CUDA_NVCC_NO_FAST_MATH" not in os.environ


def test_no_compiler_of_kernels_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TVM_CUDA_COMPILE_MODE", raising=False)
    monkeypatch.setattr(cuda, "_nvrtc_loads", lambda: False)
    monkeypatch.setattr(cuda.shutil, "which", lambda _name: None)
    with pytest.raises(Unavailable, match="finds neither: install the CUDA toolkit"), cuda.compiler(3):
        pass


def test_nvrtc_needs_its_library_and_the_toolkits_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_PATH", str(tmp_path))
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "cuda_runtime.h").touch()

    def missing() -> None:
        raise RuntimeError('Failure finding "libnvrtc.so.13"')

    packages = {name: ModuleType(name) for name in ("cuda", "cuda.bindings", "cuda.bindings.nvrtc")}
    for name, package in packages.items():
        monkeypatch.setitem(sys.modules, name, package)
    packages["cuda.bindings"].nvrtc = packages["cuda.bindings.nvrtc"]  # type: ignore[attr-defined]
    packages["cuda.bindings.nvrtc"].nvrtcVersion = missing  # type: ignore[attr-defined]
    monkeypatch.setattr(cuda, "find_spec", lambda _name: object())
    assert not cuda._nvrtc_loads()
    packages["cuda.bindings.nvrtc"].nvrtcVersion = lambda: (0, 13, 0)  # type: ignore[attr-defined]
    assert cuda._nvrtc_loads()
    (tmp_path / "include" / "cuda_runtime.h").unlink()
    assert not cuda._nvrtc_loads()
    (tmp_path / "include" / "cuda_runtime.h").touch()
    monkeypatch.setattr(cuda, "find_spec", lambda _name: None)
    assert not cuda._nvrtc_loads()


@pytest.mark.parametrize("fast_math", [True, False])
def test_approximations_are_stated(fast_math: bool) -> None:
    lowering = {
        "target": cuda.target("9.0", {}),
        "inputs": [],
        "outputs": [],
        "unscheduled": [],
        "kernels": {"types": {"float32": 3}, "parallel": 0},
        "compiled": {"by": "nvrtc", "fast_math": fast_math},
    }
    runtime = SimpleNamespace(tensor=None, num_threads=lambda: 2)
    program = _Program(SimpleNamespace(runtime=runtime), {"main": None}, HOPPER, lowering, 2)
    facts = program.actual()
    assert facts["device"] == "a GPU of a test (CUDA code for sm_90)"
    assert facts["ignored"] == "threads=2: cuda computes"
    assert ("nvrtc compiled with --use_fast_math" in facts.get("note", "")) == fast_math


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
