"""The documented exit codes, each really produced by a process, each what the JSON says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

SAME = "reference,faulty"
WRONG = "reference,faulty-wrong[amount=0.5]"
CRASH = "reference,faulty[symptom=CRASH]"


@pytest.fixture
def constant(tmp_path: Path) -> Path:
    """Samples that are all the same, which tell nothing."""
    path = tmp_path / "constant.npy"
    np.save(path, np.ones((4, 3, 2, 2), np.float32))
    return path


@pytest.mark.parametrize(
    ("backends", "inputs", "verdict", "code"),
    [
        (SAME, "random:4", "AGREE", 0),
        (WRONG, "random:4", "DIFFER", 1),
        (CRASH, "random:4", "NOT_COMPARED", 3),
        (f"{SAME},faulty[status=UNSUPPORTED]", "random:4", "AGREE", 3),
        (f"{WRONG},faulty[symptom=EXCEPTION]", "random:4", "DIFFER", 1),
        (SAME, "constant", "INCONCLUSIVE", 4),
    ],
    ids=["agree", "differ", "failed", "unsupported", "difference-outweighs-failure", "inconclusive"],
)
def test_a_comparison_ends_with_the_code_of_its_verdict(
    process, cli, models, tmp_path, constant, backends, inputs, verdict, code
):
    source = constant if inputs == "constant" else inputs
    done = process("compare", "--model", models / "classifier.onnx", "--backends", backends,
                   "--inputs", source, "--out", tmp_path / "run", "--json", "-")  # fmt: skip
    assert (done.code, done.err) == (code, "")
    assert done.json["verdict"] == verdict
    assert done.json["exit_code"] == code
    again = cli("report", tmp_path / "run")
    assert again.code == code
    assert f"\n{verdict}: " in again.out


def test_a_usage_error_is_2(process, models):
    done = process("compare", "--model", models / "classifier.onnx", "--backends", "reference,nothing")
    assert "no backend 'nothing'" in done.error
    assert done.out == ""


def test_an_unknown_flag_is_2(process):
    done = process("compare", "--nonsense")
    assert done.code == 2
    assert "--nonsense" in done.err


def test_the_codes_are_documented(cli):
    text = cli("--help").out
    for code in ("0", "1", "2", "3", "4", "70", "130"):
        assert any(line.split()[:1] == [code] for line in text.splitlines())
