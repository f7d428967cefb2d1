"""A worker that runs one environment after the other, and what becomes of it when nobody waits any more."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from deltann.evidence.engine import Engine, Left
from deltann.outcome import Outcome, Status, Symptom
from deltann.runner.background import in_background
from deltann.runner.cell import Limits, Work
from deltann.testing.job import Job
from deltann.testing.models import MODELS


@pytest.fixture
def job(tmp_path: Path, faulty: str) -> Job:
    del faulty
    return Job.save(MODELS["two_outputs"](), tmp_path, count=4, seed=3)


def _work(job: Job) -> Work:
    return Work(job.model, job.files, job.count, rows=1, batched=True)


def test_one_environment_after_the_other(job: Job, tmp_path: Path) -> None:
    with Engine(tmp_path / "log", Limits.of(), tmp_path / "cache") as engine:
        for name in ("a", "b"):
            assert engine.execute("faulty", job.model, _work(job), tmp_path / name).status is Status.OK
            assert (tmp_path / name / "times.npy").is_file()
        crashed = engine.execute("faulty-crash[stage=RUN]", job.model, _work(job), tmp_path / "c")
        assert crashed.symptom is Symptom.CRASH
        assert not (tmp_path / "c").exists(), "half of the outputs are none"
        assert engine.execute("faulty", job.model, _work(job), tmp_path / "d").status is Status.OK


def test_whoever_leaves_ends_what_another_thread_waits_for(job: Job, tmp_path: Path) -> None:
    def work() -> list[Outcome]:
        ended = []
        try:
            for name in ("a", "b", "c"):
                ended.append(engine.execute("faulty-hang[stage=LOAD]", job.model, _work(job), tmp_path / name))
        except Left:
            return ended
        raise AssertionError("a worker was started for nobody")

    with Engine(tmp_path / "log", Limits.of(), tmp_path / "cache") as engine:
        others = in_background(work)
        while engine._worker is None:
            time.sleep(0.01)
    (ended,) = others.result(timeout=10)
    assert ended.symptom is Symptom.CRASH
    with pytest.raises(Left):
        engine.execute("faulty", job.model, _work(job), tmp_path / "d")
