"""`deltann bench`: real processes, timed; what it says, what it refuses, and how it ends."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

import deltann
from deltann.cli import main
from deltann.store import open_run
from deltann.timing import measure, study
from deltann.timing.stored import timing

SLOW = "faulty[milliseconds=3,symptom=SLOWDOWN]"
STALE = "faulty[at=300,mismatch=stale,symptom=MISMATCH]"
CRASH = "faulty[at=400,symptom=CRASH]"
SAME = "faulty[threads=1]"


@pytest.fixture(scope="module")
def benched(adapters, models, tmp_path_factory):
    """The run of one bench of a sound environment, the same again, a slow, a stale and a crashing one; and its end."""
    del adapters
    folder = tmp_path_factory.mktemp("bench") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "HOPELESS", 1e9)  # five rounds, however busy this machine is
        done = CliRunner().invoke(
            main,
            ["bench", "--model", str(models / "classifier.onnx"), "--backends",
             f"faulty,{SAME},{SLOW},{STALE},{CRASH}", "--inputs", "random:6", "--budget", "1", "--margin", "20%",
             "--out", str(folder), "--json", str(folder.parent / "bench.json")],
        )  # fmt: skip
    return folder, done, json.loads((folder.parent / "bench.json").read_text())


def pair(document, candidate):
    return next(found for found in document["timing"]["pairs"] if found["candidate"] == candidate)


def test_a_slowdown_is_found_and_named(benched):
    _, done, document = benched
    found = pair(document, SLOW)
    assert found["verdict"] == "REGRESSION"
    assert found["symptom"] == "SLOWDOWN"
    assert found["estimate"]["slowdown"] > 1
    assert done.exit_code == document["exit_code"] == 1
    assert "REGRESSION" in done.stdout


def test_the_same_without_the_fault_is_no_regression(benched):
    found = pair(benched[2], SAME)
    assert found["verdict"] != "REGRESSION"
    assert found["symptom"] is None
    assert abs(found["estimate"]["slowdown"]) < 1


def test_stale_outputs_are_never_faster(benched):
    """In the comparison its outputs agree: only the timed loop shows it."""
    found = pair(benched[2], STALE)
    assert found["outputs"] == "AGREE"
    assert found["verdict"] == "INCONCLUSIVE"
    assert "the run before" in found["reasons"][0]


def test_a_crash_in_the_timed_loop_costs_its_own_environment(benched):
    document = benched[2]
    cells = {cell["name"]: cell for cell in document["timing"]["cells"]}
    assert cells[CRASH]["symptom"] == "CRASH"
    assert cells[CRASH]["outcome"]["stage"] == "RUN"
    assert cells[SAME]["rounds"] == 5


def test_costs_are_recorded(benched):
    for cell in benched[2]["timing"]["cells"][:3]:
        assert cell["ms"] > 0
        assert cell["load_s"] > 0
        assert cell["first_ms"] > 0
        assert cell["peak_memory"] > 10 << 20
        assert cell["artifact_bytes"] > 0


def test_the_screen_fits_80_columns(benched):
    assert max(map(len, benched[1].stdout.splitlines())) <= 80


def test_stored_times_are_judged_anew(benched, cli):
    folder, _, document = benched
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    again = cli("bench", "--from", folder, "--json", "-").json
    assert again["timing"]["pairs"] == document["timing"]["pairs"]
    other = cli("bench", "--from", folder, "--reference", SLOW, "--json", "-")
    assert pair(other.json, "faulty")["verdict"] != "REGRESSION"
    assert pair(other.json, "faulty")["estimate"]["slowdown"] < 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


def test_another_day_is_put_beside_it(benched, cli):
    folder = benched[0]
    done = cli("bench", "--from", folder, "--against", folder, "--json", "-")
    rows = {row["name"]: row for row in done.json["timing"]["against"]["environments"]}
    assert rows[SLOW]["change"] == pytest.approx(0)
    assert STALE not in rows
    assert "information" in cli("bench", "--from", folder, "--against", folder).out


def test_a_timed_run_is_not_timed_again(benched, cli):
    assert "timed already" in cli("bench", "--out", benched[0]).error


def test_a_finished_comparison_of_something_else_is_refused(benched, cli, models):
    folder = benched[0]
    assert "--backends" in cli("bench", "--out", folder, "--backends", "faulty").error
    assert "--model" in cli("bench", "--out", folder, "--model", models / "conv_bn_relu.onnx").error
    assert "--limit" in cli("bench", "--out", folder, "--limit", "2").error


def test_what_is_no_model_is_told_in_a_line(benched, cli, tmp_path):
    (tmp_path / "notes.txt").write_text("nothing to run")
    assert "not an ONNX" in cli("bench", "--out", benched[0], "--model", tmp_path / "notes.txt").error
    assert "no such file" in cli("bench", "--out", benched[0], "--model", tmp_path / "gone.onnx").error


@pytest.mark.parametrize(
    ("model", "more", "words"),
    [("conv_bn_relu.onnx", [], "another model"), ("classifier.onnx", ["--batch-size", "2"], "another --batch-size")],
)
def test_times_of_other_work_are_not_put_beside_these_before_any_is_taken(
    benched, cli, models, tmp_path, monkeypatch, model, more, words
):
    monkeypatch.setattr(study, "bench", None)  # whoever measures fails otherwise
    done = cli("bench", "--model", models / model, "--backends", f"faulty,{SAME}", "--inputs", "random:4", *more,
               "--out", tmp_path / "run", "--against", benched[0])  # fmt: skip
    assert words in done.error


def test_python_takes_what_the_command_takes(adapters, models, tmp_path, monkeypatch):
    del adapters
    monkeypatch.setattr(measure, "HOPELESS", 0.0)
    _, found = deltann.bench(
        models / "classifier.onnx", ["faulty", SAME], inputs="random:4", reference=SAME, margin="7%", budget=9,
        percentile=90, pin="0", out=tmp_path / "run", evidence="none",
    )  # fmt: skip
    asked = found.options
    assert (asked.margin, asked.budget, asked.percentile, asked.reference, asked.pin) == (0.07, 9.0, 90.0, SAME, (0,))
    named = inspect.signature(deltann.bench).parameters
    assert {"margin", "budget", "percentile", "reference", "pin"} <= set(named)
    assert "options" not in named


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--backends", "faulty,reference"], "--model is missing"),
        (["--model", "MODEL"], "--backends is missing"),
        (["--model", "MODEL", "--backends", "faulty"], "second"),
        (["--model", "MODEL", "--backends", "faulty,reference", "--margin", "0"], "--margin"),
        (["--model", "MODEL", "--backends", "faulty,reference", "--percentile", "100"], "percentile"),
        (["--model", "MODEL", "--backends", "faulty,reference", "--budget", "0"], "--budget"),
        (["--model", "MODEL", "--backends", "faulty,reference", "--pin", "9999"], "--pin"),
        (["--model", "MODEL", "--backends", "faulty,reference", "--threads", "1"], "reference has no option 'threads'"),
        (["--model", "MODEL", "--backends", "faulty,reference", "--reference", "ort"], "--reference ort"),
        (["--model", "MODEL", "--backends", "faulty,reference", "--against", "nothing"], "nothing"),
        (["--model", "MODEL", "--backends", "faulty,reference", "--json", "no/where.json"], "--json"),
        (["--from", "nothing"], "no run"),
        (["--from", "nothing", "--budget", "3"], "--budget"),
        (["--calibrate", "--model", "MODEL", "--backends", "faulty", "--out", "x"], "--out"),
        (["--calibrate", "--backends", "faulty"], "--model is missing"),
        (["--calibrate", "--model", "MODEL", "--backends", "nothing"], "no backend 'nothing'"),
        (["--calibrate", "--model", "MODEL", "--backends", "faulty[symptom=CRASH]"], "calibrate by another"),
    ],
)
def test_wrong_requests_are_refused_in_a_line(cli, models, tmp_path, monkeypatch, args, words):
    monkeypatch.chdir(tmp_path)
    assert words in cli("bench", *[models / "classifier.onnx" if arg == "MODEL" else arg for arg in args]).error


def test_a_comparison_without_times_is_told(cli, models, tmp_path):
    cli("compare", "--model", models / "classifier.onnx", "--backends", "faulty,reference", "--inputs", "random:4",
        "--evidence", "none", "--out", tmp_path / "run")  # fmt: skip
    assert "holds no times" in cli("bench", "--from", tmp_path / "run").error
    assert timing(open_run(tmp_path / "run")) is None


def test_ctrl_c_leaves_no_process_and_goes_on(launch, cli, models, tmp_path, monkeypatch):
    run = tmp_path / "run"
    child = launch("bench", "--model", models / "classifier.onnx", "--backends", f"faulty,{SAME}",
                   "--inputs", "random:4", "--margin", "100%", "--out", run)  # fmt: skip
    until = time.monotonic() + 60
    while not (run / "timing" / "rounds" / "000" / "round.json").is_file():
        assert child.poll() is None, child.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.05)
    workers = psutil.Process(child.pid).children(recursive=True)
    os.kill(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 130, (out, err)
    assert "to go on: deltann bench --out" in err
    assert "Traceback" not in err
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive
    assert "interrupted" in cli("bench", "--from", run).out
    monkeypatch.setattr(measure, "HOPELESS", 1e9)
    done = cli("bench", "--out", run, "--json", "-")
    assert done.json["timing"]["complete"]
    assert done.json["timing"]["options"]["margin"] == 1
    assert done.json["timing"]["cells"][0]["rounds"] >= 5


def test_an_environment_that_failed_before_is_not_timed(cli, models, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "HOPELESS", 0.0)
    done = cli("bench", "--model", models / "classifier.onnx", "--backends", "faulty,faulty[symptom=CRASH]",
               "--inputs", "random:4", "--out", tmp_path / "run", "--json", "-")  # fmt: skip
    assert done.code == 3
    assert done.json["timing"]["cells"][1]["symptom"] == "CRASH"
    assert done.json["timing"]["rounds"] == []


def test_nothing_of_a_removed_cache_is_missed_in_silence(benched, cli, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    shutil.copytree(benched[0], folder)
    shutil.rmtree(folder / "timing")
    monkeypatch.setenv("DELTANN_CACHE", str(Path(tmp_path) / "cache"))
    assert "no longer in the cache" in cli("bench", "--out", folder).error


def test_threads_are_set_everywhere_the_reference_included(cli, models, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "HOPELESS", 0.0)
    done = cli(
        "bench",
        "--model",
        models / "classifier.onnx",
        "--backends",
        "faulty,faulty[at=2]",
        "--threads",
        "2",
        "--reference",
        "faulty[at=2]",
        "--inputs",
        "random:4",
        "--json",
        "-",
        "--out",
        tmp_path / "run",
    )
    (found,) = done.json["timing"]["pairs"]
    assert (found["candidate"], found["reference"]) == ("faulty[threads=2]", "faulty[at=2,threads=2]")
    assert done.code == 4, "one round is not enough"


def test_compare_times_too_and_ends_by_what_is_worse(adapters, models, tmp_path, monkeypatch):
    del adapters
    monkeypatch.setattr(measure, "HOPELESS", 1e9)
    slow = SLOW.replace("]", ",threads=2]")  # of its own at load, or there is nothing to judge its outputs by
    command = ["compare", "--model", str(models / "classifier.onnx"), "--backends", f"faulty,{slow}", "--inputs",
               "random:4", "--bench", "--budget", "1", "--margin", "20%", "--out", str(tmp_path / "run")]  # fmt: skip
    done = CliRunner().invoke(main, [*command, "--json", str(tmp_path / "all.json")])
    document = json.loads((tmp_path / "all.json").read_text())
    assert document["verdict"] == "AGREE"
    assert pair(document, slow)["verdict"] == "REGRESSION"
    assert done.exit_code == document["exit_code"] == 1
    assert "REGRESSION" in done.stdout
    again = CliRunner().invoke(main, ["report", str(tmp_path / "run")])
    assert (again.exit_code, "REGRESSION" in again.stdout) == (1, True)


@pytest.mark.parametrize("option", ["--margin", "--budget"])
def test_how_to_time_is_said_with_bench_alone(models, option):
    done = CliRunner().invoke(
        main, ["compare", "--model", str(models / "classifier.onnx"), "--backends", "faulty,reference", option, "7"]
    )
    assert done.exit_code == 2
    assert f"{option} says how to time: add --bench" in done.stderr
