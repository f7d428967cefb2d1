"""Each symptom, at each stage, is caught and named."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.runner.deadlines import parse_deadlines
from deltann.runner.local import Reply, WorkerProcess
from deltann.runner.outputs import read_outputs, read_times
from deltann.testing.faults import STAGES
from deltann.testing.job import Job, prepare_request

_PATIENT = parse_deadlines(["120"])


def _carry_out(worker: WorkerProcess, spec: str, job: Job, folder: Path, timeouts: Mapping[Stage, float]) -> Reply:
    """Prepare and run; the reply that ended it. Outputs and cache are in `folder`."""
    prepared = worker.request(prepare_request(spec, job.model, folder / "cache"), timeouts)
    if prepared.outcome.status is not Status.OK:
        return prepared
    ran = worker.request(job.run_request(folder / "out"), timeouts)
    return Reply(ran.outcome, {**prepared.facts, **ran.facts})


def _outcome(spec: str, job: Job, folder: Path, timeouts: Mapping[Stage, float] = _PATIENT) -> Outcome:
    with WorkerProcess(folder / "worker.log") as worker:
        return _carry_out(worker, spec, job, folder, timeouts).outcome


@pytest.mark.parametrize("stage", STAGES)
def test_crash(stage: Stage, job: Job, tmp_path: Path) -> None:
    outcome = _outcome(f"faulty[stage={stage},symptom=CRASH]", job, tmp_path)
    assert (outcome.status, outcome.stage, outcome.symptom) == (Status.FAILED, stage, Symptom.CRASH)
    assert outcome.reason == f"SIGSEGV while {stage}"
    assert "Fatal Python error: Segmentation fault" in outcome.detail
    assert "faults.py" in outcome.detail


@pytest.mark.parametrize("signal", ["SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGKILL", "SIGTERM"])
def test_crash_by_other_signals(signal: str, job: Job, tmp_path: Path) -> None:
    outcome = _outcome(f"faulty[signal={signal},stage=COMPILE,symptom=CRASH]", job, tmp_path)
    assert (outcome.symptom, outcome.reason) == (Symptom.CRASH, f"{signal} while COMPILE")


def test_a_worker_that_ends_by_itself_crashed(job: Job, tmp_path: Path) -> None:
    outcome = _outcome("faulty[exit_code=3,stage=LOAD,symptom=CRASH]", job, tmp_path)
    assert (outcome.symptom, outcome.reason) == (Symptom.CRASH, "it ended by itself with exit code 3 while LOAD")


@pytest.mark.parametrize("stage", STAGES)
def test_timeout(stage: Stage, job: Job, tmp_path: Path) -> None:
    """And what the worker had started is gone with it."""
    with WorkerProcess(tmp_path / "worker.log") as worker:
        # Once without fault, so that the short deadline does not have to hold for starting Python.
        assert _carry_out(worker, "faulty", job, tmp_path, _PATIENT).outcome.status is Status.OK
        timeouts = {**_PATIENT, stage: 1.0}
        started = time.monotonic()
        outcome = _carry_out(worker, f"faulty[stage={stage},symptom=TIMEOUT]", job, tmp_path / "2", timeouts).outcome
        assert time.monotonic() - started < 30
        assert (outcome.status, outcome.stage, outcome.symptom) == (Status.FAILED, stage, Symptom.TIMEOUT)
        assert outcome.reason == f"no end within 1 s while {stage}; raise --timeout to wait longer"
        assert _ends(_pid_in(tmp_path / "worker.log"))


@pytest.mark.parametrize("symptom", [Symptom.EXCEPTION, Symptom.OUT_OF_MEMORY])
def test_exception_and_out_of_memory(symptom: Symptom, job: Job, tmp_path: Path) -> None:
    """The worker lives on, and the next environment is none the worse."""
    kind = {Symptom.EXCEPTION: "RuntimeError", Symptom.OUT_OF_MEMORY: "MemoryError"}[symptom]
    with WorkerProcess(tmp_path / "worker.log") as worker:
        for stage in STAGES:
            spec = f"faulty[stage={stage},symptom={symptom}]"
            outcome = _carry_out(worker, spec, job, tmp_path / stage, _PATIENT).outcome
            assert (outcome.status, outcome.stage, outcome.symptom) == (Status.FAILED, stage, symptom)
            assert outcome.reason == f"{kind}: injected while {stage}"
            assert "Traceback" in outcome.detail
            assert "faults.py" in outcome.detail
        assert _carry_out(worker, "faulty", job, tmp_path / "sound", _PATIENT).outcome.status is Status.OK


@pytest.mark.parametrize("status", [Status.UNSUPPORTED, Status.UNAVAILABLE])
def test_refusals_are_no_failures(status: Status, job: Job, tmp_path: Path) -> None:
    with WorkerProcess(tmp_path / "worker.log") as worker:
        for stage in STAGES:
            spec = f"faulty[stage={stage},status={status}]"
            outcome = _carry_out(worker, spec, job, tmp_path / stage, _PATIENT).outcome
            assert (outcome.status, outcome.stage, outcome.symptom) == (status, stage, None)
            assert outcome.reason == f"injected: {status.lower()}, noticed while {stage}"
        early = _carry_out(worker, "faulty[status=UNSUPPORTED]", job, tmp_path / "early", _PATIENT).outcome
        assert (early.status, early.reason) == (Status.UNSUPPORTED, "injected: unsupported, known before lowering")


def test_mismatch_and_nondeterminism_leave_other_outputs(job: Job, tmp_path: Path) -> None:
    """For the comparator to find; two sound cells have equal ones, and so have two of the same mismatch."""

    def outputs(worker: WorkerProcess, spec: str, name: str) -> dict[str, bytes]:
        assert _carry_out(worker, spec, job, tmp_path / name, _PATIENT).outcome.status is Status.OK
        return {key: array.tobytes() for key, array in read_outputs(tmp_path / name / "out").items()}

    with WorkerProcess(tmp_path / "worker.log") as worker:
        sound = outputs(worker, "faulty", "sound")
        assert outputs(worker, "faulty", "sound again") == sound
        for stage in STAGES:
            wrong = outputs(worker, f"faulty[stage={stage},symptom=MISMATCH]", f"wrong {stage}")
            assert all(wrong[name] != sound[name] for name in sound)
            assert outputs(worker, f"faulty[stage={stage},symptom=MISMATCH]", f"wrong again {stage}") == wrong
            spec = f"faulty[stage={stage},symptom=NONDETERMINISM]"
            noisy = [outputs(worker, spec, f"noisy {stage} {number}") for number in range(2)]
            assert all(noisy[0][name] != noisy[1][name] for name in sound)


@pytest.mark.parametrize("stage", STAGES)
def test_slowdown_shows_in_the_times(stage: Stage, job: Job, tmp_path: Path) -> None:
    with WorkerProcess(tmp_path / "worker.log") as worker:
        spec = f"faulty[milliseconds=200,stage={stage},symptom=SLOWDOWN]"
        reply = _carry_out(worker, spec, job, tmp_path, _PATIENT)
    assert reply.outcome.status is Status.OK
    times = read_times(tmp_path / "out")
    seconds = {
        Stage.CONVERT: reply.facts["lower_s"], Stage.COMPILE: reply.facts["lower_s"],
        Stage.LOAD: reply.facts["load_s"], Stage.RUN: times.min(),
    }  # fmt: skip
    assert seconds[stage] >= 0.2
    assert len(times) == 4
    assert stage is Stage.RUN or np.median(times) < 0.2


def _pid_in(log: Path) -> int:
    match = re.search(r"waiting for process (\d+)", log.read_text())
    assert match is not None
    return int(match[1])


def _ends(pid: int, within_s: float = 5) -> bool:
    """Whether that process is gone soon; one that is dead and not yet waited for is."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in "ZX":
            return True
        time.sleep(0.02)
    return False
