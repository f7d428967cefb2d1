"""The cache of lowered artifacts."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from deltann.artifact import Artifact
from deltann.environment import Environment
from deltann.model import Model, load_model
from deltann.outcome import Symptom
from deltann.runner.artifacts import lower_or_reuse
from deltann.runner.deadlines import parse_deadlines
from deltann.runner.local import WorkerProcess
from deltann.testing import faulty as faulty_module
from deltann.testing.faulty import FaultyBackend
from deltann.testing.job import Job, prepare_request
from deltann.testing.models import MODELS


class Slow(FaultyBackend):
    """While it lowers, another worker lowers the same and puts it into the cache."""

    def lower(self, model: Model, env: Environment, workdir: Path) -> Artifact:
        lower_or_reuse(FaultyBackend(), model, env, workdir.parents[1])
        return super().lower(model, env, workdir)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return MODELS["classifier"]().save(tmp_path)


def _cached(model: Model, cache: Path, spec: str = "faulty", backend: FaultyBackend | None = None) -> bool:
    return lower_or_reuse(backend or FaultyBackend(), model, Environment.parse(spec), cache)[1]


def _with_another_name(model: Model, folder: Path) -> Model:
    """The same graph in a file of other bytes."""
    proto = model.proto()
    proto.graph.name = "another"
    onnx.save(proto, folder / "another.onnx")
    other = load_model(folder / "another.onnx")
    return replace(model, path=other.path, sha256=other.sha256)


def test_a_model_that_changes_while_it_is_lowered_is_not_kept(model: Model, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="changed while it was lowered"):
        _cached(replace(model, sha256="0" * 64), tmp_path)
    assert not _cached(model, tmp_path)


def test_the_second_lowering_is_found(model: Model, tmp_path: Path) -> None:
    first, cached = lower_or_reuse(FaultyBackend(), model, Environment.parse("faulty"), tmp_path)
    assert not cached
    assert lower_or_reuse(FaultyBackend(), model, Environment.parse("faulty"), tmp_path) == (first, True)
    assert Artifact.read(first.folder) == first


def test_whatever_changes_the_artifact_changes_its_key(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not _cached(model, tmp_path)
    assert not _cached(model, tmp_path, "faulty[threads=1]")
    assert not _cached(model.bind({"x": (3, 3, 2, 2)}), tmp_path)
    assert not _cached(_with_another_name(model, tmp_path), tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(FaultyBackend, "version", lambda _: "0.0.1")
        assert not _cached(model, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("deltann.runner.artifacts._cpu", lambda: "another processor")
        assert not _cached(model, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(FaultyBackend, "devices", lambda _: ("npu",))
        assert not _cached(model, tmp_path)
    assert _cached(model, tmp_path)
    assert len(list((tmp_path / "artifacts").iterdir())) == 7


def test_a_changed_adapter_lowers_anew(model: Model, tmp_path: Path) -> None:
    source = Path(faulty_module.__file__).read_text()
    package = tmp_path / "an_adapter"
    package.mkdir()
    (package / "__init__.py").write_text(source)
    spec = importlib.util.spec_from_file_location("an_adapter", package / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # inspect.getfile looks a class up by the module it names.
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, "an_adapter", module)
        backend = module.FaultyBackend()
        assert not _cached(model, tmp_path, backend=backend)
        assert _cached(model, tmp_path, backend=backend)
        (package / "table.py").write_text("# a file beside it")
        assert not _cached(model, tmp_path, backend=backend)
        (package / "table.py").write_text("# another text")
        assert not _cached(model, tmp_path, backend=backend)


def test_a_failed_lowering_leaves_nothing(model: Model, tmp_path: Path) -> None:
    for stage in ("CONVERT", "COMPILE"):
        with pytest.raises(RuntimeError, match=f"injected while {stage}"):
            _cached(model, tmp_path, f"faulty[stage={stage},symptom=EXCEPTION]")
    assert list((tmp_path / "artifacts").iterdir()) == []


def test_a_killed_lowering_leaves_nothing_that_looks_finished(job: Job, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    request = prepare_request("faulty[stage=COMPILE,symptom=CRASH]", job.model, cache)
    for _ in range(2):
        with WorkerProcess(tmp_path / "worker.log") as worker:
            assert worker.request(request, parse_deadlines([])).outcome.symptom is Symptom.CRASH
        left = list((cache / "artifacts").iterdir())
        assert left
        assert all(Artifact.read(folder) is None for folder in left)


def test_what_a_killed_process_of_the_same_number_left_is_no_obstacle(model: Model, tmp_path: Path) -> None:
    artifact, _ = lower_or_reuse(FaultyBackend(), model, Environment.parse("faulty"), tmp_path)
    (artifact.folder / "artifact.json").unlink()
    artifact.folder.rename(artifact.folder.with_name(f"{artifact.folder.name}.{os.getpid()}"))
    assert not _cached(model, tmp_path)


@pytest.mark.parametrize("damage", ["changed", "removed"])
def test_a_damaged_artifact_is_lowered_again(damage: str, model: Model, tmp_path: Path) -> None:
    artifact, _ = lower_or_reuse(FaultyBackend(), model, Environment.parse("faulty"), tmp_path)
    file = artifact.folder / artifact.files[0]
    if damage == "changed":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        file.unlink()
    assert lower_or_reuse(FaultyBackend(), model, Environment.parse("faulty"), tmp_path) == (artifact, False)
    assert _cached(model, tmp_path)


def test_what_another_worker_has_just_put_there_stays_where_it_is(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be loading from it; side by side, cells of one model given twice lower the same."""
    monkeypatch.setattr("deltann.runner.artifacts._key", lambda *_: "key")
    monkeypatch.setattr("deltann.runner.artifacts.os.getpid", iter(range(10)).__next__)
    removed = []
    monkeypatch.setattr(
        "deltann.runner.artifacts.shutil.rmtree", lambda folder, **_: removed.append(Path(folder).name), raising=True
    )
    artifact, cached = lower_or_reuse(Slow(), model, Environment.parse("faulty"), tmp_path)
    assert not cached
    assert artifact == Artifact.read(tmp_path / "artifacts/key")
    assert removed.count("key") == 1, "only the first, where nothing was"


def test_what_another_worker_finishes_while_leftovers_are_looked_for_is_no_obstacle(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "artifacts").mkdir()
    gone = tmp_path / "artifacts/key.17"
    monkeypatch.setattr(Path, "glob", lambda *_: iter([gone]))
    assert not _cached(model, tmp_path)
