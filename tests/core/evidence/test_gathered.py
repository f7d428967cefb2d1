"""Evidence gathered by real comparisons of tiny models: what is right passes, and each fault is seen for what it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

import deltann
from deltann import registry, study
from deltann.comparison.evidence import Arbitration
from deltann.comparison.power import Power
from deltann.comparison.verdict import Verdict
from deltann.environment import Environment
from deltann.evidence.places import evidence_folder
from deltann.result import Result
from deltann.sabotage import KINDS
from deltann.testing.faulty import ENTRY
from deltann.testing.models import MODELS
from deltann.testing.registration import registered

WRONG = "faulty[amount=0.0001,stage=COMPILE,symptom=MISMATCH]"
NOISY = "faulty[amount=0.5,symptom=NONDETERMINISM]"
STALE = "faulty[mismatch=stale,symptom=MISMATCH]"
INPUTS = np.random.default_rng(16).standard_normal((20, 3, 9, 8)).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def adapters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, registered(faulty=ENTRY):
        patch.setenv("DELTANN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "conv_bn_relu.onnx"
    onnx.save_model(MODELS["conv_bn_relu"]().proto, path)
    return path


@pytest.fixture(scope="module")
def result(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    backends = ["reference", "faulty", WRONG, NOISY, STALE]
    out = tmp_path_factory.mktemp("compared") / "run"
    return deltann.compare(model, backends, inputs=INPUTS, evidence="all", evidence_samples=6, out=out)


def _verdict(result: Result, first: str, second: str) -> Verdict:
    names = {str(Environment.parse(spec)) for spec in (first, second)}
    (pair,) = (p for p in result.compared if {str(p.candidate), str(p.reference)} == names)
    return pair.judgement.verdict


def _sound(result: Result, spec: str) -> bool | None:
    (found,) = (entries for cell, entries in result.weighed.sound.items() if str(cell) == str(Environment.parse(spec)))
    return found[0].sound


def test_the_arbiter_finds_what_is_right_sound_and_a_small_fault_not(result: Result) -> None:
    assert isinstance(result.weighed.arbiters["model"], Arbitration)
    assert _sound(result, "reference") is True
    assert _sound(result, "faulty") is True
    assert _sound(result, WRONG) is False
    assert _verdict(result, "reference", "faulty") is Verdict.AGREE
    # Of a ten-thousandth, which the default tolerance lets pass.
    assert _verdict(result, "reference", WRONG) is Verdict.DIFFER


def test_who_is_wrong_is_told_with_what_that_rests_on(result: Result) -> None:
    blamed = {name: blame.sure for blame in result.blamed for name in blame.names}
    assert blamed[str(Environment.parse(WRONG))] == "arbiter alone"  # the default tolerance would let it pass
    assert not {"reference", "faulty"} & set(blamed)


def test_an_environment_that_differs_from_itself_is_named_and_nothing_is_blamed_on_the_pair(result: Result) -> None:
    symptoms = dict(zip(result.cells.cell, result.cells.symptom, strict=True))
    assert symptoms[str(Environment.parse(NOISY))] == "NONDETERMINISM"
    assert symptoms["reference"] != "NONDETERMINISM"
    assert _verdict(result, "reference", NOISY) is Verdict.INCONCLUSIVE
    noise = {str(cell): entries for cell, entries in result.weighed.noise.items()}
    assert noise["reference"][0].identical
    assert not noise[str(Environment.parse(NOISY))][0].identical


def test_stale_outputs_are_never_agreement(result: Result) -> None:
    assert _verdict(result, "reference", STALE) is Verdict.DIFFER


def test_these_inputs_notice_sabotage_of_every_class(result: Result) -> None:
    power = result.weighed.powers["model"]
    assert isinstance(power, Power)
    assert power.copies >= 6
    assert power.enough
    assert set(power.by_kind) <= set(KINDS)


def test_everything_is_judged_anew_from_the_store(result: Result) -> None:
    again = deltann.load(result.run.folder)
    assert (again.verdict, again.compared, again.blamed) == (result.verdict, result.compared, result.blamed)
    lenient = deltann.load(result.run.folder, atol=0.01, rtol=0.0)
    assert _verdict(lenient, "reference", WRONG) is Verdict.AGREE
    blind = deltann.load(result.run.folder, atol=1000.0, rtol=0.0)
    assert _verdict(blind, "reference", WRONG) is Verdict.INCONCLUSIVE  # which would let any fault pass


def test_an_interrupted_arbiter_goes_on_and_the_cells_are_not_run_again(model: Path, tmp_path: Path) -> None:
    def stop(what: str, _doing: str, _done: int, _total: int | None) -> None:
        if what == "sabotage":
            raise KeyboardInterrupt

    asked = {"inputs": INPUTS, "evidence": "all", "evidence_samples": 4, "out": tmp_path / "run"}
    with pytest.raises(study.Interrupted):
        deltann.compare(model, ["reference", "faulty"], **asked, listener=stop)  # type: ignore[arg-type]
    exact = tmp_path / "run" / "evidence" / "model" / "float64" / "times.npy"
    kept = [*(tmp_path / "run" / "outputs").rglob("times.npy"), exact]
    before = [path.read_bytes() for path in kept]
    result = deltann.compare(model, ["reference", "faulty"], **asked)  # type: ignore[arg-type]
    assert result.verdict is Verdict.AGREE
    assert [path.read_bytes() for path in kept] == before
    assert isinstance(result.weighed.powers["model"], Power)


def test_inputs_that_cannot_tell_make_the_verdict_inconclusive(tmp_path: Path) -> None:
    """A model of which each class has the same score, whatever the input: nobody notices a fault in it."""
    weights = {"w": np.zeros((8, 5), np.float32), "b": np.ones(5, np.float32)}
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["h"]), helper.make_node("Sigmoid", ["h"], ["y"])],
        "constant",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 8])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 5])],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    path = tmp_path / "constant.onnx"
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    result = deltann.compare(path, ["reference", "faulty"], evidence="all", out=tmp_path / "run")
    assert result.verdict is Verdict.INCONCLUSIVE


def test_without_torch_the_specification_itself_is_the_arbiter(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [name for name in registry.names() if name not in ("torch", "ort")]
    monkeypatch.setattr(registry, "names", lambda: names)
    out = tmp_path / "run"
    result = deltann.compare(model, ["reference", WRONG], inputs=INPUTS, evidence="all", evidence_samples=4, out=out)
    arbiter = result.weighed.arbiters["model"]
    assert isinstance(arbiter, Arbitration)
    assert arbiter.environment.startswith("reference[")
    assert result.verdict is Verdict.DIFFER
    record = json.loads((evidence_folder(result.run, "model") / "evidence.json").read_text())
    assert record["sabotage"]["environment"] == "reference"
