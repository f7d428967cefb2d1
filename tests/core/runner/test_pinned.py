"""`ort@1.20.1`: a version of its own, in an environment of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deltann.environment import Environment
from deltann.errors import Unavailable
from deltann.outcome import Status
from deltann.runner import pinned
from deltann.runner.deadlines import parse_deadlines
from deltann.runner.local import WorkerProcess
from deltann.runner.outputs import read_outputs
from deltann.testing.job import Job, prepare_request
from deltann.testing.models import MODELS

_OLD = "1.20.1"


def test_without_a_version_it_is_this_interpreter(tmp_path: Path) -> None:
    found = pinned.interpreter(Environment.parse("ort-O1"), tmp_path)
    assert (found.command, found.variables) == ([sys.executable], {})
    assert list(tmp_path.iterdir()) == []


def test_uv_missing_is_told_with_the_way_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinned.shutil, "which", lambda *_, **__: None)
    with pytest.raises(Unavailable, match=r"onnxruntime==1\.20\.1 needs uv .*: pip install uv"):
        pinned.interpreter(Environment.parse(f"ort@{_OLD}"), tmp_path)


@pytest.mark.ort
def test_the_worker_runs_the_version_it_is_told(tmp_path: Path) -> None:
    if sys.version_info >= (3, 13):
        pytest.skip(f"onnxruntime {_OLD} has no wheel for this Python")
    environment = Environment.parse(f"ort@{_OLD}")
    _skip_without_index(f"onnxruntime=={_OLD}")
    cache = tmp_path / "cache"
    python = pinned.interpreter(environment, cache)
    job = Job.save(MODELS["conv_bn_relu"](), tmp_path, count=3, seed=1)
    with WorkerProcess(tmp_path / "worker.log", python.command, python.variables) as worker:
        prepared = worker.request(prepare_request(str(environment), job.model, cache), parse_deadlines([]))
        assert prepared.outcome.status is Status.OK, prepared.outcome
        ran = worker.request(job.run_request(tmp_path / "out"), parse_deadlines([]))
        assert ran.outcome.status is Status.OK, ran.outcome
    assert prepared.facts["version"] == _OLD
    np.testing.assert_allclose(read_outputs(tmp_path / "out")["y"], job.expected["y"], rtol=1e-4, atol=1e-5)
    # Its packages are its own: what this process would import is another version.
    tell = [*python.command, "-c", "import onnxruntime; import sys; sys.stdout.write(onnxruntime.__version__)"]
    assert subprocess.run(tell, capture_output=True, text=True, check=True).stdout == _OLD
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pinned.subprocess, "run", lambda *_, **__: pytest.fail("made a second time"))
        assert pinned.interpreter(environment, cache) == python

    with pytest.raises(Unavailable, match=r"uv could not make an environment with onnxruntime==0\.0\.0\.1: .+"):
        pinned.interpreter(Environment.parse("ort@0.0.0.1"), cache)
    assert not list((cache / "versions").glob("onnxruntime==0.0.0.1*/.ready"))


def _skip_without_index(requirement: str) -> None:
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("uv is not installed: pip install uv")
    command = [str(uv), "pip", "install", "--dry-run", "--no-deps", "--python", sys.executable, requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        pytest.skip(f"no package index gives {requirement}: {done.stderr.strip()[-200:]}")
