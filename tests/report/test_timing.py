"""The screen of a bench: 80 columns, and nothing said that the times do not say."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.report.timing import bench_screen, calibration_screen, calibration_sentence
from deltann.report.timing_json import calibration_json, timing_json
from deltann.store import Run
from deltann.testing.stored import write_run
from deltann.testing.times import HOST, write_times
from deltann.timing.against import against
from deltann.timing.calibration import Calibration
from deltann.timing.options import Options
from deltann.timing.rounds import Checks
from deltann.timing.stored import timing

SCORES = np.random.default_rng(3).standard_normal((4, 5)).astype(np.float32)
CRASH = Outcome(Status.FAILED, Stage.RUN, Symptom.CRASH, "SIGSEGV while RUN", "the log")
LONG = "openvino[inference_precision=bf16,performance_hint=THROUGHPUT,threads=1]"


def a_run(folder: Path, *names: str, wrong: str = "") -> Run:
    outputs = {name: {"y": SCORES * (2 if name == wrong else 1)} for name in names}
    return write_run(folder, outputs, facts={name: {"artifact": name} for name in names})


def screen(found, other=None) -> str:
    console = Console(width=80, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(bench_screen(found, other))
    return captured.get()


def words(text: str) -> str:
    return " ".join(text.split())


def test_each_environment_has_its_numbers(tmp_path):
    run = a_run(tmp_path, "ort", "torch", "tvm")
    write_times(run, {"ort": 0.0, "torch": 0.3, "tvm": 0.0})
    text = screen(timing(run))
    (torch,) = [line for line in text.splitlines() if line.startswith("B torch")]
    assert "+3" in torch
    assert " to +" in torch
    assert "REGRESSION" in torch
    (ort,) = [line for line in text.splitlines() if line.startswith("A ort")]
    assert "reference" in ort
    assert "EQUIVALENT" in text
    assert "load s first ms peak MiB artifact MiB" in words(text)
    assert "0.5 10 100 4 12" in words(text), "half a second, 10 ms, 100 MiB, 4 MiB, 12 rounds"
    assert "slowdown = time / time of the reference − 1" in text


def test_it_fits_80_columns(tmp_path):
    run = a_run(tmp_path, LONG, f"{LONG[:-2]}2]", "tvm", wrong="tvm")
    write_times(run, {LONG: 0.0, f"{LONG[:-2]}2]": 30.0, "tvm": -0.5}, failed={})
    text = screen(timing(run))
    assert max(map(len, text.splitlines())) <= 80
    assert "+3" in text


def test_faster_is_not_said_without_that_the_outputs_differ(tmp_path):
    run = a_run(tmp_path, "a", "b", wrong="b")
    write_times(run, {"a": 0.0, "b": -0.5})
    text = words(screen(timing(run)))
    assert "IMPROVED, but its outputs differ" in text
    assert "the outputs of 1 environment differ" in text


def test_faster_with_the_same_outputs_is(tmp_path):
    run = a_run(tmp_path, "a", "b")
    write_times(run, {"a": 0.0, "b": -0.5})
    text = screen(timing(run))
    assert "IMPROVED" in text
    assert "outputs" not in text


def test_failures_and_wrong_outputs_are_told(tmp_path):
    run = a_run(tmp_path, "a", "b", "c")
    stale = Checks(60, stale=3, problem="timed runs returned the outputs of the run before them")
    write_times(run, {"a": 0.0, "b": -0.9, "c": 0.0}, failed={"c": CRASH}, checks={"b": stale})
    text = words(screen(timing(run)))
    assert "FAILED CRASH" in text
    assert "SIGSEGV while RUN" in text
    assert "outputs of the run before" in text
    assert "IMPROVED" not in text


def test_what_the_machine_could_have_told(tmp_path):
    run = a_run(tmp_path, "a", "b")
    write_times(run, {"a": 0.0, "b": 0.0})
    text = words(screen(timing(run)))
    assert "6 rounds of fresh processes gave intervals of up to ±" in text
    assert "not calibrated" in text


def test_too_few_rounds_name_the_budget(tmp_path):
    run = a_run(tmp_path, "a", "b")
    write_times(run, {"a": 0.0, "b": 0.0}, rounds={"measure": 2})
    assert "give --budget 10" in words(screen(timing(run)))


def test_an_interrupted_one_says_how_to_go_on(tmp_path):
    run = a_run(tmp_path / "r", "a", "b")
    write_times(run, {"a": 0.0, "b": 0.0}, rounds={"measure": 2}, complete=False)
    assert "to go on: deltann bench --out" in words(screen(timing(run)))


def test_names_from_strangers_are_made_safe(tmp_path):
    run = a_run(tmp_path, "a", "b")
    evil = Outcome(Status.FAILED, Stage.RUN, Symptom.EXCEPTION, "\x1b[2J[bold]boo", "")
    write_times(run, {"a": 0.0, "b": 0.0}, failed={"b": evil})
    text = screen(timing(run))
    assert "\x1b" not in text
    assert "[bold]boo" in text


def test_the_other_run_is_information(tmp_path):
    now, then = a_run(tmp_path / "now", "a", "b"), a_run(tmp_path / "then", "a", "b")
    write_times(now, {"a": 0.0, "b": 0.0})
    write_times(then, {"a": 0.0, "b": 0.5})
    text = words(screen(timing(now), against(timing(now), then)))
    assert "information, no verdict rests on it" in text
    assert "-3" in text


@pytest.mark.parametrize(("detectable", "words_"), [(0.04, "finds a slowdown of 4%"), (math.inf, "finds no slowdown")])
def test_a_calibration_says_what_is_found_and_how_often_it_errs(detectable, words_):
    found = Calibration(20, 0, 5, 1, 0.01, 0.24, detectable, 0.01, 0.05, 50.0, HOST)
    text = calibration_sentence(found)
    assert words_ in text
    assert "1 of 20" in text
    assert "1% to 24%" in text
    console = Console(width=80)
    with console.capture() as captured:
        console.print(calibration_screen(found, "ort", "model.onnx"))
    assert "ort against itself" in captured.get()
    json.dumps(calibration_json(found, "ort"), allow_nan=False)


def test_it_is_told_by_what_the_machine_was_calibrated(tmp_path):
    run = a_run(tmp_path, "a", "b")
    found = Calibration(20, 0, 5, 1, 0.01, 0.24, 0.04, 0.01, 0.05, 50.0, HOST)
    by = {"model": "conv.onnx", "environment": "ort[threads=1]", "pin": [0], "created": "2026-01-01"}
    write_times(run, {"a": 0.0, "b": 0.0}, calibration={**by, "calibration": found.to_json()})
    assert "This machine (calibrated 2026-01-01 by ort[threads=1] on conv.onnx) finds" in words(screen(timing(run)))
    assert timing_json(timing(run))["calibrated_by"] == by
    write_times(run, {"a": 0.0, "b": 0.0})
    assert "calibrated 2026" not in words(screen(timing(run)))
    assert timing_json(timing(run))["calibrated_by"] is None


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_numbers_that_are_none_are_null(tmp_path, number):
    run = a_run(tmp_path, "a", "b")
    write_times(run, {"a": 0.0, "b": 0.0})
    path = tmp_path / "timing" / "rounds" / "000" / "round.json"
    data = json.loads(path.read_text())
    data["took_s"] = data["cells"][0]["load_s"] = number
    path.write_text(json.dumps(data))
    for place in (tmp_path / "timing" / "rounds").iterdir():
        np.save(place / "0.npy", np.full((12, 5), np.nan))
    told = json.loads(json.dumps(timing_json(timing(run)), allow_nan=False))
    assert told["took_s"] is None
    assert told["cells"][0]["ms"] is None
    assert told["cells"][1]["ms"] > 0


def test_the_json_holds_it_all(tmp_path):
    run = a_run(tmp_path, "a", "b", "c")
    write_times(run, {"a": 0.0, "b": 0.3, "c": 0.0}, failed={"c": CRASH}, options=Options(0.1))
    found = timing(run)
    data = json.loads(json.dumps(timing_json(found), allow_nan=False))
    assert data["verdict"] == "REGRESSION"
    assert data["exit_code"] == 1
    (slow, failed) = data["pairs"]
    assert slow["symptom"] == "SLOWDOWN"
    assert slow["estimate"]["low"] <= slow["estimate"]["slowdown"] <= slow["estimate"]["high"]
    assert slow["confirmation"] is not None
    assert failed["estimate"] is None
    assert [cell["symptom"] for cell in data["cells"]] == [None, "SLOWDOWN", "CRASH"]
    assert len(data["rounds"]) == 12
    assert data["options"]["margin"] == 0.1
