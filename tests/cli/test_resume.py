"""A run that is killed or interrupted goes on, computes nothing twice, and never looks finished."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest

SAMPLES = 24
SLOW = "recorder[milliseconds=60]"


@pytest.fixture
def log(tmp_path, monkeypatch):
    """The file that the recorder writes."""
    path = tmp_path / "recorder.log"
    path.touch()
    monkeypatch.setenv("RECORDER_LOG", str(path))
    return path


@pytest.fixture
def request_of(models):
    """The command line of a run to `out`."""

    def build(out, *more, backends=f"reference,{SLOW}", samples=SAMPLES):
        return ("compare", "--model", models / "classifier.onnx", "--backends", backends,
                "--inputs", f"random:{samples}", "--out", out, *more)  # fmt: skip

    return build


def wait_for_lines(log, count):
    """Until the recorder has run so often."""
    deadline = time.monotonic() + 30
    while len(log.read_text().splitlines()) < count:
        assert time.monotonic() < deadline, "the recorder does not run"
        time.sleep(0.01)


def status(folder):
    """What the run says of itself."""
    return json.loads((folder / "run.json").read_text())["status"]


def workers(folder):
    """The living processes whose log lies in `folder`: its workers and what they started."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            target = (process / "fd" / "2").resolve()
            alive = "\nState:\tZ" not in (process / "status").read_text()
        except OSError:
            continue
        if process.name.isdecimal() and alive and target.is_relative_to(folder.resolve()):
            found.append(process.name)
    return found


def stored(folder):
    """The bytes of all outputs, by file."""
    files = sorted((folder / "outputs").rglob("*.npy"))
    return {str(file.relative_to(folder)): file.read_bytes() for file in files if file.name != "times.npy"}


def test_a_killed_run_goes_on_and_computes_nothing_twice(launch, cli, request_of, tmp_path, log):
    killed = launch(*request_of(tmp_path / "run"))
    wait_for_lines(log, 5)
    killed.kill()
    killed.wait()
    time.sleep(0.3)
    assert not workers(tmp_path / "run"), "a worker does not outlive its parent"
    before = len(log.read_text().splitlines())
    assert 5 <= before < SAMPLES
    assert status(tmp_path / "run") == "running"
    assert cli("report", tmp_path / "run").out.startswith("INCOMPLETE: the run is running, not complete")

    assert cli(*request_of(tmp_path / "run")).code == 0
    # The run that the kill fell into was not stored, so it alone may have been begun a second time.
    assert len(log.read_text().splitlines()) - SAMPLES in (0, 1)
    assert status(tmp_path / "run") == "complete"

    assert cli(*request_of(tmp_path / "undisturbed")).code == 0
    assert stored(tmp_path / "run") == stored(tmp_path / "undisturbed")
    assert all(not np.isnan(np.load(file)).any() for file in (tmp_path / "run").rglob("times.npy"))


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(launch, cli, request_of, tmp_path, log):
    stopped = launch(*request_of(tmp_path / "run"))
    wait_for_lines(log, 3)
    os.killpg(stopped.pid, signal.SIGINT)
    out, err = stopped.communicate(timeout=20)
    assert stopped.returncode == 130
    assert out == ""
    (line,) = err.splitlines()
    assert f"--out {tmp_path / 'run'}" in line
    assert not workers(tmp_path / "run")
    assert status(tmp_path / "run") == "interrupted"
    shown = cli("report", tmp_path / "run")
    assert shown.code == 4
    assert shown.out.startswith("INCOMPLETE: the run is interrupted, not complete")

    assert cli(*request_of(tmp_path / "run")).code == 0
    assert len(log.read_text().splitlines()) - SAMPLES in (0, 1)


def test_the_folder_named_by_the_message_is_the_one_made_without_out(launch, models, tmp_path, log):
    stopped = launch("compare", "--model", models / "classifier.onnx", "--backends", f"reference,{SLOW}", cwd=tmp_path)
    wait_for_lines(log, 1)
    os.killpg(stopped.pid, signal.SIGINT)
    _, err = stopped.communicate(timeout=20)
    named = re.search(r"--out (\S+)", err)
    assert named
    assert status(tmp_path / named[1]) == "interrupted"


@pytest.fixture
def unfinished(cli, request_of, tmp_path):
    """A run of which only the last status is missing, as if killed just before it."""
    folder = tmp_path / "run"
    assert cli(*request_of(folder, backends="reference,faulty", samples=3)).code == 0
    document = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**document, "status": "running"}))
    return folder


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"samples": 4}, "inputs"),
        ({"backends": "reference,faulty,faulty[threads=1]"}, "backends"),
        ({"backends": "faulty,reference"}, "backends"),
    ],
)
def test_another_request_does_not_go_on_there(cli, request_of, unfinished, changed, named):
    given = {"backends": "reference,faulty", "samples": 3, **changed}
    error = cli(*request_of(unfinished, **given)).error
    assert named in error
    assert "choose another --out" in error


def test_another_model_does_not_go_on_there(cli, models, unfinished):
    error = cli("compare", "--model", models / "opset7.onnx", "--backends", "reference,faulty",
                "--inputs", "random:3", "--out", unfinished).error  # fmt: skip
    assert "model" in error.partition("of another")[2]


def test_other_thresholds_go_on_and_are_those_of_the_report(cli, request_of, unfinished):
    strict = cli(*request_of(unfinished, "--rtol", "0", "--atol", "0", backends="reference,faulty", samples=3))
    assert strict.code == 0
    shown = cli("report", unfinished, "--json", "-").json
    assert shown["criteria"]["rtol"] == shown["criteria"]["atol"] == ["0"]


def test_what_ended_is_not_run_again_but_what_was_not_there_is(cli, request_of, tmp_path, log):
    backends = f"{SLOW},faulty[status=UNAVAILABLE],faulty[symptom=EXCEPTION]"
    assert cli(*request_of(tmp_path / "run", backends=backends, samples=2)).code == 3
    document = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps({**document, "status": "running"}))
    ages = {file: file.stat().st_mtime_ns for file in (tmp_path / "run" / "cells").rglob("cell.json")}
    assert cli(*request_of(tmp_path / "run", backends=backends, samples=2)).code == 3
    again = [file.parent.name for file, age in ages.items() if file.stat().st_mtime_ns != age]
    assert again == ["faulty(status=UNAVAILABLE)"]
    assert len(log.read_text().splitlines()) == 2
