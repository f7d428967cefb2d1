"""A scoreboard over backends that behave and one that does not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest

from deltann.errors import UsageError
from deltann.model import load_model
from deltann.scoreboard import board as board_module
from deltann.scoreboard.row import Result
from deltann.study import Interrupted
from deltann.testing.registration import registered


@pytest.fixture
def there(finished, tmp_path):
    """A copy of the finished scoreboard, where `make` works."""
    return shutil.copytree(finished, tmp_path / "board")


CASES = ("test_abs", "test_neg", "test_exp", "test_relu", "test_ceil", "test_string_concat")
FAULTS = {
    "Abs": "faulty[symptom=CRASH]",
    "Neg": "faulty[mismatch=values,symptom=MISMATCH]",
    "Exp": "faulty[symptom=EXCEPTION]",
    "Relu": "faulty[status=UNSUPPORTED]",
}


def results(board, environment="moody"):
    """The result of each case."""
    return {name: row.result for name, row in board.rows[environment].items()}


def test_each_kind_of_fault_costs_its_own_case(make, faults, log):
    faults(**FAULTS)
    board = make("reference,moody", *CASES)
    assert results(board) == {
        "test_abs": Result.CRASHED,
        "test_ceil": Result.PASSED,
        "test_exp": Result.ERROR,
        "test_neg": Result.WRONG,
        "test_relu": Result.UNSUPPORTED,
        "test_string_concat": Result.UNTESTED,
    }
    assert set(results(board, "reference").values()) == {Result.PASSED, Result.UNTESTED}
    reasons = {name: row.reason for name, row in board.rows["moody"].items()}
    assert reasons["test_abs"] == "SIGSEGV while RUN"
    assert reasons["test_exp"] == "RuntimeError: injected while RUN"
    assert reasons["test_relu"] == "injected: unsupported, known before lowering"
    assert "elements differ" in reasons["test_neg"]
    # The crash ended the first process; the second lived through all that followed.
    assert len({line.split()[0] for line in log.read_text().splitlines()}) == 2


@pytest.mark.parametrize("stage", ["COMPILE", "RUN"])
def test_a_hang_costs_its_own_case(make, faults, stage):
    """As it does where its first sign of life is late, since the time is the case's and not the stage's."""
    faults(Abs=f"faulty[stage={stage},symptom=TIMEOUT]", Neg="faulty[milliseconds=500,symptom=SLOWDOWN]")
    started = time.monotonic()
    board = make("moody", "test_abs", "test_ceil", "test_neg", seconds=6)
    assert 6 < time.monotonic() - started < 30
    assert list(results(board).values()) == [Result.TIMED_OUT, Result.PASSED, Result.PASSED]
    assert board.rows["moody"]["test_abs"].reason == f"no end within 6 s; it was in {stage}"


@pytest.mark.parametrize(
    ("mismatch", "says"), [("missing", "no output"), ("extra", "that the model has not"), ("renamed", "no output"),
                           ("dtype", "expected float32"), ("nan", "NaN")],
)  # fmt: skip
def test_wrong_in_every_way_is_wrong(make, faults, mismatch, says):
    faults(Abs=f"faulty[mismatch={mismatch},symptom=MISMATCH]")
    row = make("moody", "test_abs").rows["moody"]["test_abs"]
    assert (row.result, row.stage) == (Result.WRONG, "COMPARE")
    assert says in row.reason


def test_out_of_memory_is_a_crash_and_a_missing_device_is_nobody_s_fault(make, faults):
    faults(Abs="faulty[symptom=OUT_OF_MEMORY]", Neg="faulty[stage=LOAD,status=UNAVAILABLE]")
    assert list(results(make("moody", "test_abs", "test_neg")).values()) == [Result.CRASHED, Result.UNTESTED]


def test_a_crash_that_another_model_brought_about_stays_a_crash_and_says_so(make, log, monkeypatch):
    """The second model of a process dies, and does not in a process of its own."""
    monkeypatch.setenv("MOODY_SECOND_DIES", "1")
    board = make("moody", "test_abs", "test_ceil", "test_neg")
    assert list(results(board).values()) == [Result.PASSED, Result.CRASHED, Result.CRASHED]
    assert board.rows["moody"]["test_ceil"].reason == (
        "SIGSEGV while CONVERT after 1 other model in one process; alone: passed"
    )
    finding = json.loads((board.record.finding("moody", "test_ceil") / "finding.json").read_text())
    assert finding["result"] == "crashed"
    assert log.read_text().count("Ceil") == 2


def test_findings_hold_all_that_repeats_them(make, faults):
    faults(**FAULTS)
    board = make("moody", *CASES)
    folder = board.record.folder / "findings" / "moody"
    assert {item.name for item in folder.iterdir()} == {"test_abs", "test_exp", "test_neg"}
    assert {item.name for item in (folder / "test_neg").iterdir()} == {
        "model.onnx", "inputs.npz", "expected.npz", "got.npz", "finding.json"
    }  # fmt: skip
    assert not (folder / "test_abs" / "got.npz").exists()
    with (
        np.load(folder / "test_neg" / "inputs.npz") as inputs,
        np.load(folder / "test_neg" / "expected.npz") as expected,
        np.load(folder / "test_neg" / "got.npz") as got,
    ):
        assert np.array_equal(-inputs["x"], expected["y"])
        assert got["y"].shape == expected["y"].shape
        assert not np.allclose(got["y"], expected["y"], rtol=1e-3)
    assert load_model(folder / "test_neg" / "model.onnx").inputs[0].name == "x"
    finding = json.loads((folder / "test_abs" / "finding.json").read_text())
    assert (finding["environment"], finding["result"], finding["stage"]) == ("moody", "crashed", "RUN")
    assert "Segmentation fault" in finding["detail"]
    assert finding["repeat"] == "deltann scoreboard --backends 'moody' --cases test_abs"
    assert (finding["version"], finding["onnx"]) == ("1", onnx.__version__)


def test_what_is_said_of_a_case_is_not_another_s_noise(make, faults, tmp_path):
    """The log is the process's, the detail the case's."""
    faults(Abs="faulty[prints=yes]", Neg="faulty[symptom=CRASH]")
    row = make("moody", "test_abs", "test_neg").rows["moody"]["test_neg"]
    assert row.reason == "SIGSEGV while RUN", "as it does alone"
    assert "noise" not in row.detail
    faults(Neg="faulty[prints=yes,symptom=EXCEPTION]")
    assert "noise" in make("moody", "test_neg", out=tmp_path / "other").rows["moody"]["test_neg"].detail


def test_nothing_is_left_but_the_record(make, faults, tmp_path, monkeypatch):
    monkeypatch.setenv("DELTANN_CACHE", str(tmp_path / "cache"))
    faults(**FAULTS)
    make("moody,reference", *CASES)
    assert {item.name for item in (tmp_path / "board").iterdir()} == {".lock", "request.json", "results", "findings"}
    assert not (tmp_path / "cache").exists()


def test_several_workers_do_the_same_work(make, faults, tmp_path):
    faults(**FAULTS)
    boards = [make("moody,reference", *CASES, "test_add*", jobs=jobs, out=tmp_path / str(jobs)) for jobs in (1, 4)]
    alone, together = ({spec: results(board, spec) for spec in board.environments} for board in boards)
    assert alone == together


def test_progress_is_told(make):
    told = []
    make("reference,moody", "test_abs", "test_neg", listener=lambda *what: told.append(what))
    assert ("moody", "passed", 2, 2) in told
    assert ("reference", "passed", 2, 2) in told


def test_a_fixed_sample_of_the_backends_that_are_the_measure(make):
    """onnx's own evaluator and ONNX Runtime, over operators that both have had for long."""
    pytest.importorskip("onnxruntime", reason="the ort backend needs onnxruntime")
    operators = ("Add", "Gemm", "MatMul", "MaxPool", "ReduceSum", "Relu", "Slice", "Softmax", "Transpose")
    board = make("reference,ort", operators=operators, sample=40, jobs=2)
    assert set(board.operators) == set(operators)
    for environment in board.environments:
        counts = Counter(results(board, environment).values())
        assert set(counts) <= {Result.PASSED, Result.UNSUPPORTED}
        assert counts[Result.PASSED] >= 35


class Stop(Exception):
    """Ends a scoreboard from its listener."""


def _stop_after(count, error):
    seen = []

    def listen(what, doing, *_):
        if what == "moody" and doing in set(Result):
            seen.append(what)
            if len(seen) == count:
                raise error

    return listen


def test_a_stopped_one_goes_on_and_computes_nothing_twice(make, faults, log):
    faults(**FAULTS)
    with pytest.raises(Stop):
        make("moody", *CASES, listener=_stop_after(2, Stop()))
    before = log.read_text().splitlines()
    board = make("moody", *CASES)
    assert results(board)["test_abs"] is Result.CRASHED
    operators = [line.split()[1] for line in log.read_text().splitlines()]
    assert sorted(operators) == ["Abs", "Ceil", "Exp", "Neg"], "Relu is refused before it is lowered"
    assert len(before) in (2, 3)
    again = make("moody", *CASES, listener=lambda *_: pytest.fail("nothing was to be done"))
    assert again.rows == board.rows


def test_ctrl_c_tells_the_folder(make, faults, tmp_path):
    faults()
    with pytest.raises(Interrupted, match=r"repeat the command with --out .*board"):
        make("moody", *CASES, listener=_stop_after(1, KeyboardInterrupt()))
    assert make("moody", *CASES, out=tmp_path / "board")


def test_a_case_whose_line_is_torn_is_done_again(make, faults, log, tmp_path):
    faults()
    make("moody", *CASES)
    path = tmp_path / "board" / "results" / "moody.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    count = len(log.read_text().splitlines())
    board = make("moody", *CASES)
    assert len(log.read_text().splitlines()) == count + 1
    assert path.read_bytes().splitlines(keepends=True)[:-1] == lines[:-1]
    assert Counter(results(board).values()) == {Result.PASSED: 5, Result.UNTESTED: 1}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda make, _: make("moody", "test_abs", "test_ceil"), "selection"),
        (lambda make, _: make("reference", "test_abs"), "environments"),
        (lambda make, _: make("moody", "test_abs", seconds=5), "timeout_s"),
        (lambda make, patch: (patch.setenv("MOODY_VERSION", "2"), make("moody", "test_abs")), "environments"),
    ],
)
def test_another_request_does_not_go_on_there(make, there, monkeypatch, change, named):
    del there
    with pytest.raises(UsageError, match=f"another {named}: choose another --out"):
        change(make, monkeypatch)


def test_what_another_adapter_made_is_not_shown_as_this_ones(make, there, monkeypatch):
    """A table made again would else be the old one, though the code that it tells of has changed."""
    del there
    monkeypatch.setattr(board_module, "adapter_digest", lambda _: "changed")
    with pytest.raises(UsageError, match="made by another adapter of moody: choose another --out"):
        make("moody", "test_abs")


def test_a_folder_of_something_else_is_left_alone(make, tmp_path):
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="holds no scoreboard"):
        make("moody", "test_abs")
    assert (tmp_path / "board" / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("text", ["", "{}", '{"schema": 1}', '{"schema": "x"}', "[]"])
def test_a_damaged_request_is_told(make, there, text):
    (there / "request.json").write_text(text)
    with pytest.raises(UsageError, match=r"damaged .*choose another --out"):
        make("moody", "test_abs")


@pytest.mark.parametrize("line", ["", "x", "{}", '{"case": "test_abs", "result": "splendid"}', "[]", "1"])
def test_damaged_results_are_told(make, there, line):
    with (there / "results" / "moody.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(UsageError, match=r"moody\.jsonl: damaged .*delete it"):
        make("moody", "test_abs")


@pytest.mark.parametrize(
    ("specs", "says"),
    [
        ("moody[quantised=yes]", "quantised after samples"),
        ("reference,nothing", "no backend 'nothing'"),
        ("moody-fast", "has no variant 'fast'"),
        ("absent", "pip install"),
        ("broken", "does not load"),
        ("", "no backend is named"),
    ],
)
def test_environments_that_make_no_sense_are_refused(make, specs, says, tmp_path):
    with registered(broken="no_such_module:X", absent="moody:AbsentBackend"), pytest.raises(UsageError, match=says):
        make(specs, "test_abs")
    assert not (tmp_path / "board").exists()


def test_the_default_is_what_is_there_and_what_is_not_is_told(make, monkeypatch):
    from deltann import registry

    with registered(broken="no_such_module:X", absent="moody:AbsentBackend"):
        monkeypatch.setattr(registry, "names", lambda: ["absent", "broken", "moody", "reference"])
        board = make(None, "test_abs")
    assert list(board.environments) == ["moody", "reference"]
    left_out = dict(board.document["left_out"])
    assert left_out["absent"].startswith("unavailable: pip install")
    assert left_out["broken"].startswith("broken: ")
    assert "no_such_module" in left_out["broken"]


def test_another_process_may_not_write_there(make, there):
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom deltann.store import locked\n"
        "with locked(Path(sys.argv[1])):\n    sys.stdout.write('held\\n'); sys.stdout.flush(); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(there)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(UsageError, match="another deltann is writing"):
            make("moody", "test_abs")
        other.kill()


def test_a_new_folder_is_under_runs(make, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    board = make("moody", "test_abs", out=None)
    assert board.record.folder.parent == Path("runs")
    assert board.record.folder.name.endswith("-scoreboard")
