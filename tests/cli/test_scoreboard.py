"""`deltann scoreboard` as a person or a script uses it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter

import pytest

CASES = ("--cases", "test_abs", "--cases", "test_neg", "--cases", "test_string_concat")


def test_the_table_is_made_and_the_exit_code_says_no_more(cli, tmp_path):
    done = cli("scoreboard", "--backends", "reference,faulty[symptom=CRASH],faulty[mismatch=nan,symptom=MISMATCH]",
               *CASES, "--out", tmp_path / "board")  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert max(map(len, done.out.splitlines())) <= 80
    table = done.out[: done.out.index("Failed of tested")].splitlines()
    rows = {line.split()[0]: line.split()[-7:] for line in table if line[:2] in ("A ", "B ", "C ")}
    assert rows["A"] == ["2", "0", "0", "0", "0", "0", "1"]
    assert rows["B"] == ["0", "0", "0", "2", "0", "0", "1"]
    assert rows["C"] == ["0", "2", "0", "0", "0", "0", "1"]
    folder = tmp_path / "board"
    assert {"scoreboard.json", "scoreboard.md", "scoreboard.html", "findings"} <= {f.name for f in folder.iterdir()}
    assert {f.name for f in (folder / "findings" / "faulty(symptom=CRASH)").iterdir()} == {"test_abs", "test_neg"}


def test_files_go_where_they_are_asked_for(cli, tmp_path):
    done = cli("scoreboard", "--backends", "reference", "--operator", "Relu", "--out", tmp_path / "board",
               "--json", "-", "--markdown", tmp_path / "page.md", "--html", tmp_path / "page.html")  # fmt: skip
    assert done.code == 0
    assert done.json["environments"][0]["operators"]["Relu"]["passed"] > 0
    assert set(done.json["environments"][0]["operators"]) == {"Relu"}
    assert (tmp_path / "page.md").read_text().startswith("# Scoreboard")
    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("columns", ["40", "24"])
def test_a_narrow_terminal(cli, tmp_path, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    done = cli("scoreboard", "--backends", "faulty[mismatch=nan,symptom=MISMATCH]", *CASES, "--out", tmp_path / "board")
    assert max(map(len, done.out.splitlines())) <= int(columns)
    assert "2 wrong answer, 1 not tested" in " ".join(done.out.split())


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--backends", "nothing"), "no backend 'nothing'"),
        (("--cases", "nothing"), "--cases nothing: no case"),
        (("--operator", "relu"), "did you mean Relu?"),
        (("--sample", "0"), "--sample 0"),
        (("--jobs", "0"), "--jobs 0"),
        (("--timeout", "0"), "--timeout 0"),
        (("--timeout", "inf"), "--timeout inf"),
        (("--memory-limit", "much"), "--memory-limit much"),
        (("--json", "no/such/folder.json"), "choose another --json"),
        (("--markdown", "no/such/folder.md"), "choose another --markdown"),
    ],
)
def test_what_makes_no_sense_is_one_line(cli, tmp_path, args, says):
    given = args if "--backends" in args else ("--backends", "reference", *args)
    assert says in cli("scoreboard", *given, "--out", tmp_path / "board").error
    assert not (tmp_path / "board" / "request.json").exists()


def _lines(folder):
    files = list((folder / "results").glob("*.jsonl")) if folder.is_dir() else []
    return [json.loads(line)["case"] for file in files for line in file.read_text().splitlines()]


def _request(out):
    return ("scoreboard", "--backends", "recorder[milliseconds=150]", "--operator", "Relu", "--operator", "Add",
            "--operator", "Sub", "--jobs", "2", "--out", out)  # fmt: skip


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_one_goes_on_and_computes_nothing_twice(launch, cli, tmp_path, monkeypatch, how):
    log = tmp_path / "recorder.log"
    log.touch()
    monkeypatch.setenv("RECORDER_LOG", str(log))
    stopped = launch(*_request(tmp_path / "board"))
    deadline = time.monotonic() + 60
    while len(_lines(tmp_path / "board")) < 3:
        assert time.monotonic() < deadline
        assert stopped.poll() is None
        time.sleep(0.02)
    if how == signal.SIGKILL:
        stopped.kill()
    else:
        os.killpg(stopped.pid, how)
    _, err = stopped.communicate(timeout=20)
    if how == signal.SIGINT:
        assert stopped.returncode == 130
        assert f"--out {tmp_path / 'board'}" in err
    time.sleep(0.3)
    runs, ended = len(log.read_text().splitlines()), len(_lines(tmp_path / "board"))
    assert ended <= runs <= ended + 2, "what the stop fell into is not stored"

    done = cli(*_request(tmp_path / "board"), "--json", "-")
    counts = done.json["environments"][0]["counts"]
    assert set(Counter(_lines(tmp_path / "board")).values()) == {1}
    assert counts["passed"] == len(_lines(tmp_path / "board")) > ended
    assert len(log.read_text().splitlines()) <= counts["passed"] + runs - ended
    assert not (tmp_path / "board" / ".scoreboard-work").exists()

    again = cli(*_request(tmp_path / "board"), "--json", "-")
    assert again.json == done.json
    assert len(log.read_text().splitlines()) <= counts["passed"] + runs - ended
