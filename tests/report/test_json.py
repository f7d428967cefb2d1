"""The JSON: strict, complete, and of one mind with the result."""

from __future__ import annotations

import json

import numpy as np
import pytest

import deltann
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.report.contents import Contents
from deltann.report.json import to_json
from deltann.testing.stored import write_run

RNG = np.random.default_rng(10)
SCORES = RNG.standard_normal((12, 6)).astype(np.float32)


def refuse(constant):
    """Python writes NaN where JSON knows none."""
    raise AssertionError(f"{constant} is no JSON")


@pytest.fixture
def result(tmp_path):
    """A run with a NaN, an infinity, a flip, a failure and labels."""
    broken = SCORES.copy()
    broken[2, 3], broken[4, 1] = np.nan, np.inf
    broken[7] = np.roll(SCORES[7], 1)
    crash = Outcome(Status.FAILED, Stage.COMPILE, Symptom.CRASH, "SIGSEGV while COMPILE", "the whole log")
    cells = {"ort": {"y": SCORES}, "torch": {"y": broken}, "tvm": crash}
    run = write_run(tmp_path / "run", cells, labels=[None, *SCORES.argmax(axis=1).tolist()[1:]])
    return deltann.load(run)


@pytest.fixture
def document(result):
    """The JSON, read strictly."""
    return json.loads(to_json(Contents(result)), parse_constant=refuse)


def test_the_verdict_is_the_result_s(document, result):
    assert (document["verdict"], document["exit_code"]) == (result.verdict, result.exit_code) == ("DIFFER", 1)


def test_every_cell_has_status_stage_symptom_and_the_whole_detail(document):
    assert [cell["cell"] for cell in document["cells"]] == ["ort", "torch", "tvm"]
    failed = document["cells"][2]
    assert (failed["status"], failed["stage"], failed["symptom"]) == ("FAILED", "COMPILE", "CRASH")
    assert failed["detail"] == "the whole log"
    assert document["cells"][0]["accuracy"] == {"y": 1.0}
    assert document["cells"][0]["median_ms"] == pytest.approx(1.0)


def test_every_pair_is_there_with_every_number(document):
    pairs = {(pair["candidate"], pair["reference"]): pair for pair in document["pairs"]}
    assert set(pairs) == {("torch", "ort"), ("tvm", "ort"), ("tvm", "torch")}
    assert pairs["tvm", "ort"]["comparison"] is None
    (output,) = pairs["torch", "ort"]["comparison"]["outputs"]
    numbers = {"elements", "max_abs", "mean_abs", "rms", "max_ulp", "cosine", "nonfinite_one_side", "nonfinite_both"}
    assert numbers <= output["numeric"].keys()
    assert output["numeric"]["nonfinite_one_side"] == 2
    ranks = {"samples", "disagreements", "rate", "interval", "ties", "top_k_disagreements", "ranking"}
    assert ranks <= output["classification"].keys()


def test_flips_name_their_samples_and_margins(document):
    (output,) = document["pairs"][0]["comparison"]["outputs"]
    assert "flips" not in output["classification"], "they are there once"
    flips = {flip["sample"]: flip for flip in document["pairs"][0]["flips"]}
    assert flips["random[2]"]["candidate_label"] == -1
    assert flips["random[2]"]["candidate_margin"] is None
    assert flips["random[7]"]["reference_label"] == int(SCORES[7].argmax())
    assert flips["random[7]"]["reference_margin"] > 0


def test_what_was_asked_is_there(document):
    assert document["request"]["status"] == "complete"
    assert document["request"]["cells"][0] == {"environment": "ort", "role": "model"}
    assert document["criteria"] == {"reference": None, "rtol": [], "atol": [], "max_disagreement": None, "tasks": []}
