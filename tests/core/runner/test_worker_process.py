"""The protocol between the parent and a worker, and how each ends when the other does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from deltann.errors import UsageError
from deltann.outcome import Stage, Status, Symptom
from deltann.runner.deadlines import parse_deadlines
from deltann.runner.local import WorkerProcess
from deltann.runner.outputs import read_outputs
from deltann.testing.job import Job, prepare_request
from deltann.testing.registration import registered

_PATIENT = parse_deadlines(["120"])


def test_stages_and_facts_are_told(job: Job, tmp_path: Path) -> None:
    stages: list[Stage] = []
    with WorkerProcess(tmp_path / "worker.log") as worker:
        prepared = worker.request(prepare_request("faulty", job.model, tmp_path), _PATIENT, stages.append)
        ran = worker.request(job.run_request(tmp_path / "out"), _PATIENT, stages.append)
    assert stages == [Stage.CONVERT, Stage.COMPILE, Stage.LOAD, Stage.RUN]
    assert prepared.outcome.status is ran.outcome.status is Status.OK
    told = {"version", "artifact", "artifact_cached", "artifact_bytes", "options", "at_load", "lower_s", "load_s"}
    assert prepared.facts.keys() == told
    assert prepared.facts["artifact_bytes"] > 0
    assert ran.facts.pop("peak_memory") > 1 << 20
    assert ran.facts == {"samples": 7, "actual": {}}


def test_modules_in_the_current_folder_are_not_imported(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("onnx.py", "queue.py", "numpy.py"):
        Path(name).write_text("raise SystemExit(9)")
    with WorkerProcess(tmp_path / "worker.log") as worker:
        prepared = worker.request(prepare_request("faulty", job.model, tmp_path), _PATIENT)
    assert prepared.outcome.status is Status.OK


def test_killing_twice_kills_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    with WorkerProcess(tmp_path / "worker.log") as worker:
        worker.kill()
        monkeypatch.setattr(os, "killpg", lambda pid, _: killed.append(pid))
    assert killed == []


def test_progress_is_told_in_samples(job: Job, tmp_path: Path) -> None:
    done: list[int] = []
    spec = "faulty[milliseconds=150,symptom=SLOWDOWN]"
    with WorkerProcess(tmp_path / "worker.log") as worker:
        worker.request(prepare_request(spec, job.model, tmp_path), _PATIENT)
        worker.request(job.run_request(tmp_path / "out"), _PATIENT, on_samples=done.append)
    assert done == [2, 4, 6, 7]


def test_the_deadline_of_a_run_is_for_the_time_between_signs_of_progress(job: Job, tmp_path: Path) -> None:
    spec = "faulty[milliseconds=400,symptom=SLOWDOWN]"
    with WorkerProcess(tmp_path / "worker.log") as worker:
        worker.request(prepare_request(spec, job.model, tmp_path), _PATIENT)
        reply = worker.request(job.run_request(tmp_path / "out"), {**_PATIENT, Stage.RUN: 1.2})
    assert reply.outcome.status is Status.OK


def test_what_a_library_prints_goes_to_the_log(job: Job, tmp_path: Path) -> None:
    """Even what looks like the protocol, has no end of line or is no text."""
    with WorkerProcess(tmp_path / "worker.log") as worker:
        spec = "faulty[prints=yes,stage=RUN,symptom=EXCEPTION]"
        prepared = worker.request(prepare_request(spec, job.model, tmp_path), _PATIENT)
        ran = worker.request(job.run_request(tmp_path / "out"), _PATIENT)
    assert prepared.outcome.status is Status.OK
    assert ran.outcome.reason == "RuntimeError: injected while RUN"
    for stage in ("CONVERT", "COMPILE", "LOAD"):
        assert f"noise while {stage} é" in ran.outcome.detail
    assert b"\xff\x00 not text" in (tmp_path / "worker.log").read_bytes()


def test_a_crash_is_noticed_at_once(job: Job, tmp_path: Path) -> None:
    with WorkerProcess(tmp_path / "worker.log") as worker:
        spec = "faulty[stage=RUN,symptom=CRASH]"
        assert worker.request(prepare_request(spec, job.model, tmp_path), _PATIENT).outcome.status is Status.OK
        started = time.monotonic()
        outcome = worker.request(job.run_request(tmp_path / "out"), _PATIENT).outcome
        assert time.monotonic() - started < 2
        assert outcome.reason == "SIGSEGV while RUN"
        again = worker.request(job.run_request(tmp_path / "out"), _PATIENT).outcome
        assert (again.status, again.symptom) == (Status.FAILED, Symptom.CRASH)


def test_a_kill_from_outside_is_noticed_at_once_though_a_child_lives_on(job: Job, tmp_path: Path) -> None:
    """The child shares the worker's open files, so their end does not tell."""
    killed = 0.0
    log = tmp_path / "worker.log"

    def kill() -> None:
        nonlocal killed
        while not (match := re.search(r"waiting for process (\d+)", log.read_text() if log.exists() else "")):
            time.sleep(0.02)
        killed = time.monotonic()
        os.kill(_parent_of(int(match[1])), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with WorkerProcess(log) as worker:
        spec = "faulty[stage=LOAD,symptom=TIMEOUT]"
        outcome = worker.request(prepare_request(spec, job.model, tmp_path), _PATIENT).outcome
        assert time.monotonic() - killed < 2
    thread.join()
    assert (outcome.symptom, outcome.reason) == (Symptom.CRASH, "SIGKILL while LOAD")


def test_leaving_ends_the_worker(job: Job, tmp_path: Path) -> None:
    with WorkerProcess(tmp_path / "worker.log") as worker:
        worker.request(prepare_request("faulty", job.model, tmp_path), _PATIENT)
        pid = worker._process.pid
        assert _alive(pid)
    assert not _alive(pid)
    worker.kill()


def test_a_run_without_a_model_is_refused(job: Job, tmp_path: Path) -> None:
    with WorkerProcess(tmp_path / "worker.log") as worker:
        outcome = worker.request(job.run_request(tmp_path / "out"), _PATIENT).outcome
    assert "before 'prepare'" in outcome.reason


def test_a_worker_that_does_not_start_crashed(job: Job, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such library')"]
    with WorkerProcess(tmp_path / "worker.log", command) as worker:
        outcome = worker.request(prepare_request("faulty", job.model, tmp_path), _PATIENT).outcome
    assert (outcome.status, outcome.symptom) == (Status.FAILED, Symptom.CRASH)
    assert "no such library" in outcome.detail


@pytest.mark.parametrize("spec", ["faulty", "faulty[stage=COMPILE,symptom=TIMEOUT]"])
def test_a_worker_ends_with_its_parent(spec: str, job: Job, tmp_path: Path) -> None:
    """Idle or busy, when the parent is killed and can tell it nothing."""
    code = """
import json, os, sys, time
from pathlib import Path
from deltann.outcome import Stage
from deltann.runner.deadlines import parse_deadlines
from deltann.runner.local import WorkerProcess
worker = WorkerProcess(Path(sys.argv[2]))
sys.stdout.write(str(worker._process.pid) + "\\n")
def told(stage):
    sys.stdout.write(stage + "\\n")
    sys.stdout.flush()
worker.request(json.loads(sys.argv[1]), parse_deadlines(["120"]), told)
told("DONE")
time.sleep(120)
"""
    request = json.dumps(prepare_request(spec, job.model, tmp_path))
    last = "DONE" if spec == "faulty" else "COMPILE"
    log = tmp_path / "worker.log"
    command = [sys.executable, "-c", code, request, str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        while parent.stdout.readline().strip() != last:
            assert parent.poll() is None
        assert _alive(pid)
        parent.kill()
        parent.wait()
    until = time.monotonic() + 5
    while _alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _alive(pid)
    for child in re.findall(r"waiting for process (\d+)", log.read_text()):
        os.kill(int(child), signal.SIGKILL)


def test_a_killed_worker_s_successor_computes_only_the_rest(job: Job, tmp_path: Path) -> None:
    cell = tmp_path / "out"
    with WorkerProcess(tmp_path / "1.log") as worker:
        worker.request(prepare_request("faulty[at=3,symptom=CRASH]", job.model, tmp_path), _PATIENT)
        assert worker.request(job.run_request(cell), _PATIENT).outcome.reason == "SIGSEGV while RUN"
    kept = {name: array[:4].copy() for name, array in read_outputs(cell).items()}
    # It would crash again if it computed more than the two runs that are left.
    with WorkerProcess(tmp_path / "2.log") as worker:
        worker.request(prepare_request("faulty[at=3,symptom=CRASH]", job.model, tmp_path), _PATIENT)
        assert worker.request(job.run_request(cell), _PATIENT).outcome.status is Status.OK
    with WorkerProcess(tmp_path / "3.log") as worker:
        worker.request(prepare_request("faulty", job.model, tmp_path), _PATIENT)
        worker.request(job.run_request(tmp_path / "at once"), _PATIENT)
    whole = read_outputs(tmp_path / "at once")
    for name, array in read_outputs(cell).items():
        assert array.tobytes() == whole[name].tobytes()
        assert array[:4].tobytes() == kept[name].tobytes()


def test_a_full_disk_ends_the_comparison_and_is_nobodys_fault(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full_disk_adapter.py").write_text("""
import errno
from deltann.testing.faulty import FaultyBackend

class FullDisk(FaultyBackend):
    name = "full"

    def lower(self, model, env, workdir):
        raise OSError(errno.ENOSPC, "No space left on device")
""")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with (
        registered(full="full_disk_adapter:FullDisk"),
        WorkerProcess(tmp_path / "worker.log") as worker,
        pytest.raises(UsageError, match=r"no space to write to: .*No space left on device"),
    ):
        worker.request(prepare_request("full", job.model, tmp_path), _PATIENT)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
