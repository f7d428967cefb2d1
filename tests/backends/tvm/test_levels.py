"""Each level compiles other code, the same code every time, and computes the same function."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from deltann.artifact import Artifact
from deltann.environment import Environment
from deltann.model import Model
from deltann_tvm import TvmBackend

sys.path.insert(0, str(Path(__file__).parent))
from tvm_models import conv_bn_relu, folded_batch_norm

pytest.importorskip("tvm")

BACKEND = TvmBackend()
LEVELS = ("O0", "O1", "O2", "O3", "O4")


def lower(model: Model, spec: str, folder: Path) -> Artifact:
    folder.mkdir(parents=True)
    return BACKEND.lower(model, Environment.parse(spec), folder)


def run(artifact: Artifact, inputs: dict[str, np.ndarray], spec: str = "tvm") -> dict[str, np.ndarray]:
    with BACKEND.load(artifact, Environment.parse(spec)) as program:
        return dict(program.run(inputs))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return conv_bn_relu(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def artifacts(model: Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    folder = tmp_path_factory.mktemp("levels")
    return {level: lower(model, f"tvm-{level}", folder / level) for level in LEVELS}


def code(artifact: Artifact) -> bytes:
    """The machine code alone: the library's digest would differ by the target's description, which TVM puts inside."""
    section = artifact.folder / "text"
    library = str(artifact.folder / "lib.so")
    subprocess.run(["objcopy", "-O", "binary", "--only-section=.text", library, str(section)], check=True)
    return section.read_bytes()


def test_levels_have_different_digests(artifacts: dict[str, Artifact]) -> None:
    assert len({artifact.digest for artifact in artifacts.values()}) == len(LEVELS)


def test_levels_have_different_code(artifacts: dict[str, Artifact]) -> None:
    assert len({code(artifact) for artifact in artifacts.values()}) == len(LEVELS)


def test_default_is_o3(model: Model, artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    assert lower(model, "tvm", tmp_path / "again").digest == artifacts["O3"].digest


@pytest.mark.parametrize("level", ["O0", "O4"])
def test_compiling_twice_gives_equal_bytes(
    level: str, model: Model, artifacts: dict[str, Artifact], tmp_path: Path
) -> None:
    assert lower(model, f"tvm-{level}", tmp_path / "another folder").digest == artifacts[level].digest


@pytest.mark.parametrize("level", LEVELS)
def test_levels_agree_with_the_specification(level: str, model: Model, artifacts: dict[str, Artifact]) -> None:
    inputs = {"x": np.random.default_rng(1).standard_normal((2, 3, 15, 15)).astype(np.float32)}
    inputs["x"].flags.writeable = False
    (expected,) = ReferenceEvaluator(model.proto()).run(None, inputs)
    actual = run(artifacts[level], inputs)
    assert list(actual) == ["y"]
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(actual["y"], expected, rtol=0, atol=2e-6)


def test_float16_runs_at_its_own_precision(tmp_path: Path) -> None:
    model = conv_bn_relu(tmp_path, np.float16)
    inputs = {"x": np.random.default_rng(1).standard_normal((2, 3, 15, 15)).astype(np.float16)}
    (expected,) = ReferenceEvaluator(model.proto()).run(None, inputs)
    actual = run(lower(model, "tvm", tmp_path / "half"), inputs)["y"]
    assert actual.dtype == np.float16
    np.testing.assert_allclose(actual, expected, rtol=0, atol=5e-3)


@pytest.mark.parametrize("level", ["O2", "O4"])
def test_batch_normalisation_folded_into_weights(level: str, tmp_path: Path) -> None:
    model = folded_batch_norm(tmp_path)
    inputs = {"x": np.random.default_rng(1).standard_normal((2, 3, 9, 9)).astype(np.float32)}
    (expected,) = ReferenceEvaluator(model.proto()).run(None, inputs)
    actual = run(lower(model, f"tvm-{level}", tmp_path / level), inputs)["y"]
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)
