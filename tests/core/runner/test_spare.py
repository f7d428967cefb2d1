"""Workers that were started before their cells were known."""

from __future__ import annotations

from pathlib import Path

import pytest

from deltann.environment import Environment, parse_all
from deltann.outcome import Stage, Status, Symptom
from deltann.runner import spare
from deltann.runner.deadlines import parse_deadlines
from deltann.runner.local import WorkerProcess
from deltann.runner.spare import dismiss, spare_workers, take
from deltann.testing.job import Job, prepare_request
from deltann.testing.registration import registered

_PATIENT = parse_deadlines(["120"])
_ADAPTERS = """
import os
from pathlib import Path
from deltann.testing.faulty import FaultyBackend

class Slow(FaultyBackend):
    name = "slow"

    def import_framework(self, env):
        Path(os.environ["SEEN"]).write_text(str(env))

class Broken(FaultyBackend):
    name = "broken"

    def import_framework(self, env):
        raise RuntimeError("no such library")

class Deadly(FaultyBackend):
    name = "deadly"

    def import_framework(self, env):
        os.abort()
"""


@pytest.fixture(autouse=True)
def _two_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spare, "AT_ONCE", 2)
    monkeypatch.setenv("DELTANN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "spare_adapters.py").write_text(_ADAPTERS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))


def _taken(spec: str) -> WorkerProcess:
    worker = take(Environment.parse(spec))
    assert worker is not None
    return worker


def test_each_is_for_the_environment_it_expects(tmp_path: Path) -> None:
    with spare_workers(parse_all("ort-O0,ort,reference")):
        assert take(Environment.parse("reference")) is None, "two are started at once"
        second, first = _taken("ort"), _taken("ort-O0")
        assert second is not first
        assert take(Environment.parse("ort")) is None, "each is taken once"
    assert list((tmp_path / "cache" / "logs").iterdir()) == []


def test_two_models_have_two_workers_of_one_environment() -> None:
    (environment,) = parse_all("ort")
    with spare_workers([environment, environment]):
        assert _taken("ort") is not _taken("ort")


def test_a_pinned_version_has_none() -> None:
    with spare_workers(parse_all("ort@1.20.1")):
        assert take(Environment.parse("ort@1.20.1")) is None


def test_those_that_nobody_took_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[str] = []
    kill = WorkerProcess.kill
    monkeypatch.setattr(WorkerProcess, "kill", lambda worker: (killed.append(worker.log.name), kill(worker)))
    with spare_workers(parse_all("ort,ort-O0")):
        dismiss()
        assert len(killed) == 2
        assert take(Environment.parse("ort")) is None
    with spare_workers(parse_all("ort,ort-O0")):
        killed.clear()
    assert len(killed) == 2
    assert take(Environment.parse("ort")) is None


def test_the_framework_is_imported_before_the_model_is_known(job: Job, tmp_path: Path) -> None:
    with registered(slow="spare_adapters:Slow"), spare_workers(parse_all("slow[threads=2]")):
        reply = _taken("slow[threads=2]").request(prepare_request("slow", job.model, tmp_path), _PATIENT)
    assert reply.outcome.status is Status.OK
    assert (tmp_path / "seen").read_text() == "slow[threads=2]"


def test_an_import_that_fails_is_not_what_lowering_says(job: Job, tmp_path: Path) -> None:
    """Lowering tries again, and says by itself what is wrong; here nothing is."""
    with registered(broken="spare_adapters:Broken"), spare_workers(parse_all("broken")):
        reply = _taken("broken").request(prepare_request("broken", job.model, tmp_path), _PATIENT)
    assert reply.outcome.status is Status.OK


def test_an_import_that_kills_the_worker_is_a_crash_of_its_cell(job: Job, tmp_path: Path) -> None:
    with registered(deadly="spare_adapters:Deadly"), spare_workers(parse_all("deadly")):
        outcome = _taken("deadly").request(prepare_request("deadly", job.model, tmp_path), _PATIENT).outcome
    assert (outcome.status, outcome.symptom, outcome.stage) == (Status.FAILED, Symptom.CRASH, Stage.CONVERT)
    assert outcome.reason == "SIGABRT while CONVERT"
