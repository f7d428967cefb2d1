"""What a person or a script sees of the real command."""

from __future__ import annotations

import os
import sys

import pytest


def test_a_failure_of_ours_is_not_taken_for_a_difference(process):
    script = (
        "import sys, deltann.cli, deltann.result\n"
        "def load(*_, **__): raise RuntimeError('ours')\n"
        "deltann.result.load = load\n"
        "deltann.cli.main(['report', 'run'])\n"
    )
    done = process(under=[sys.executable, "-c", script])
    assert done.code == 70
    assert "RuntimeError: ours" in done.err


@pytest.mark.parametrize("more", [(), ("--json", "-")])
def test_a_pipe_gets_neither_bars_nor_escapes(process, models, tmp_path, more):
    done = process("compare", "--model", models / "classifier.onnx", "--inputs", "random:4", "--out", tmp_path / "run",
                   "--backends", "reference,faulty-wrong,faulty[symptom=CRASH]", *more)  # fmt: skip
    assert done.code == 1
    assert done.err == ""
    assert "\x1b" not in done.out
    assert max(map(len, done.out.splitlines())) <= 80 or more


@pytest.mark.parametrize("more", [(), ("--json", "-")])
def test_a_reader_that_leaves_early_is_no_failure_of_ours(process, cli, models, tmp_path, more):
    assert cli("compare", "--model", models / "classifier.onnx", "--inputs", "random:4", "--out", tmp_path / "run",
               "--backends", "reference,faulty").code == 0  # fmt: skip
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        done = process("report", tmp_path / "run", *more, stdout=closed)
    assert (done.code, done.err) == (0, "")


def test_a_terminal_without_greek_gets_escapes_and_the_right_code(process, cli, models, tmp_path, monkeypatch):
    assert cli("compare", "--model", models / "classifier.onnx", "--inputs", "random:4", "--out", tmp_path / "run",
               "--backends", "reference,faulty").code == 0  # fmt: skip
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    done = process("report", tmp_path / "run", encoding="latin-1")
    assert (done.code, done.err) == (0, "")
    assert r"max|\u0394|" in done.out


def test_faults_of_every_kind_leave_the_others_alone(cli, models, tmp_path):
    backends = ["reference", "faulty", "faulty[symptom=CRASH]", "faulty[stage=COMPILE,symptom=EXCEPTION]",
                "faulty[stage=LOAD,symptom=OUT_OF_MEMORY]", "faulty[status=UNSUPPORTED]", "faulty[status=UNAVAILABLE]",
                "faulty[prints=yes]"]  # fmt: skip
    done = cli("compare", "--model", models / "classifier.onnx", "--inputs", "random:4", "--out", tmp_path / "run",
               "--backends", ",".join(backends), "--json", "-")  # fmt: skip
    assert done.code == 3
    assert [(cell["status"], cell["stage"], cell["symptom"]) for cell in done.json["cells"]] == [
        ("OK", "RUN", None),
        ("OK", "RUN", None),
        ("FAILED", "RUN", "CRASH"),
        ("FAILED", "COMPILE", "EXCEPTION"),
        ("FAILED", "LOAD", "OUT_OF_MEMORY"),
        ("UNSUPPORTED", "CONVERT", None),
        ("UNAVAILABLE", "LOAD", None),
        ("OK", "RUN", None),
    ]
    verdicts = [pair["verdict"] for pair in done.json["pairs"]]
    assert verdicts.count("AGREE") == 3
    assert verdicts.count("NOT_COMPARED") == len(verdicts) - 3
    shown = cli("report", tmp_path / "run").out
    assert "SIGSEGV while RUN" in shown
    assert "5 of 8 cells gave no outputs" in " ".join(shown.split())
