"""What a failed test says."""

from __future__ import annotations

import re
import shlex

import numpy as np

import deltann
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.pytest_plugin.message import MOST_WORST, message
from deltann.report.contents import Contents
from deltann.testing.stored import write_run
from deltann.testing.times import write_times
from deltann.timing.stored import timing

RNG = np.random.default_rng(5)
BOXES = RNG.standard_normal((6, 4, 3)).astype(np.float32)
APART = {"torch": {"boxes": BOXES}, "tvm": {"boxes": BOXES + np.arange(6, dtype=np.float32)[:, None, None]}}


def test_the_first_line_says_what_failed_and_how_much_more(tmp_path):
    contents = Contents(deltann.load(write_run(tmp_path / "run", APART)))
    text = message(contents, ["first", "second", "third"])
    assert text.splitlines()[:3] == ["model.onnx: first (and 2 more)", "second", "third"]
    assert message(contents, ["first"]).splitlines()[0] == "model.onnx: first"


def test_the_worst_samples_come_worst_first(tmp_path):
    text = message(Contents(deltann.load(write_run(tmp_path / "run", APART))), ["it failed"])
    worst = re.findall(r"^  (\S+): tvm and torch, output 'boxes', max\|Δ\| (\S+)$", text, re.MULTILINE)
    assert worst[0] == ("random[5]", "5")
    assert 1 < len(worst) <= MOST_WORST
    same = write_run(tmp_path / "same", {"torch": {"boxes": BOXES}, "tvm": {"boxes": BOXES}})
    assert "Worst samples" not in message(Contents(deltann.load(same)), ["it failed"])


def test_the_command_stands_on_a_line_of_its_own(tmp_path):
    folder = tmp_path / ("a folder's " + "long " * 30 + "name")
    line = message(Contents(deltann.load(write_run(folder, APART))), ["it failed"]).splitlines()[-1]
    told, command = line.split(": ", 1)
    assert told == "To see more"
    assert shlex.split(command)[:3] == ["deltann", "report", str(folder)]


def test_times_are_shown_where_there_are_any(tmp_path):
    run = write_run(tmp_path / "run", APART)
    without = message(Contents(deltann.load(run)), ["it failed"])
    write_times(run, {"torch": 0.0, "tvm": 0.4})
    result = deltann.load(run)
    text = message(Contents(result, timing(run, result=result)), ["it failed"])
    assert "REGRESSION" in text
    assert "REGRESSION" not in without


def test_no_name_commands_the_terminal(tmp_path):
    evil = "\x1b[31mevil\x1b]0;title\x07\n\u202e"
    crash = Outcome(Status.FAILED, Stage.RUN, Symptom.CRASH, evil)
    cells = {**{name: {evil: array} for name, of in APART.items() for array in of.values()}, "ort": crash}
    run = write_run(tmp_path / "run", cells, names=[f"{evil}{number}" for number in range(6)], model=evil)
    text = message(Contents(deltann.load(run)), [evil, "and this"])
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", text)
    assert text.splitlines()[1] == "and this"
    assert "evil" in text
