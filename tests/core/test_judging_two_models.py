"""Two models under one environment: each may follow its own float64, and the two differ all the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import deltann
from deltann.comparison.evidence import Arbitration, Sabotage, Sabotaged
from deltann.comparison.flips import Kind
from deltann.comparison.verdict import Verdict
from deltann.evidence.places import evidence_folder
from deltann.model import Model, TensorSpec
from deltann.outcome import Outcome, Stage, Status
from deltann.runner.outputs import OutputWriter
from deltann.store import Cell, CellRecord, Run, open_run, write_json
from deltann.testing.stored import write_arbitration, write_run, write_sabotage

N = 40
RNG = np.random.default_rng(8)
EXACT = RNG.standard_normal((N, 6))
SEEN = np.arange(N)


def rounded(seed, exact=EXACT):
    return (exact * (1 + 2e-7 * np.random.default_rng(seed).uniform(-1, 1, exact.shape))).astype(np.float32)


def arbiter(exact, name="y"):
    parts = {name: exact[SEEN]}, {name: rounded(9, exact)[SEEN]}
    return Arbitration("torch[outputs=computed,precision=float64]", SEEN, N, *parts)


@pytest.fixture
def write(tmp_path: Path):
    """`write(first, second)`: a run of two models whose outputs are called y and z."""

    def made(first, second, rename=True) -> Run:
        run = write_run(tmp_path / "run", {"ort": {"y": first}})
        name = "z" if rename else "y"
        spec = TensorSpec(name, "float32", ("batch", *second.shape[1:]))
        other = Model("other.onnx", tmp_path / "other.onnx", "1" * 64, 17, (), (spec,))
        document = dict(run.document)
        document["models"] = document["models"] | {"against": other.to_json()}
        document["cells"] = [*document["cells"], {"environment": "ort", "role": "against"}]
        document["rows"] = {"model": 1, "against": 1}
        document["map_outputs"] = {"y": "z"} if rename else {}
        for part, value in (("digest", "0" * 64), ("pipeline", None)):
            document["inputs"][part]["against"] = value
        write_json(run.folder / "run.json", document)
        run, cell = open_run(run.folder), Cell("ort", "against")
        writer = OutputWriter(run.outputs_folder(cell), N, 1, batched=True)
        for sample in range(N):
            writer.write(sample, {name: second[sample : sample + 1]}, 0.001)
        run.save_record(CellRecord(cell, Outcome(Status.OK, Stage.RUN), {"version": "1"}))
        return run

    return made


@pytest.mark.parametrize("rename", [True, False])
def test_two_files_of_one_model_agree(write, rename):
    run = write(rounded(1), rounded(2), rename)
    write_arbitration(run, arbiter(EXACT))
    write_arbitration(run, arbiter(EXACT, "z" if rename else "y"), "against")
    result = deltann.load(run)
    assert (result.verdict, result.blamed) == (Verdict.AGREE, ())
    assert {cell.role for cell in result.weighed.sound} == {"model", "against"}


def test_each_sound_by_its_own_float64_they_differ(write):
    """Float64 excuses no difference between two models, which each follow faithfully."""
    other = EXACT + 0.05 * RNG.standard_normal(EXACT.shape)
    run = write(rounded(1), rounded(2, other))
    write_arbitration(run, arbiter(EXACT))
    write_arbitration(run, arbiter(other, "z"), "against")
    result = deltann.load(run)
    assert all(entry.sound for found in result.weighed.sound.values() for entry in found)
    assert (result.verdict, result.blamed) == (Verdict.DIFFER, ())
    assert "elements outside the tolerance" in result.compared[0].judgement.reasons[0]


def test_a_label_that_the_two_models_choose_otherwise_is_said_to_be_theirs(write):
    other = EXACT.copy()
    other[7] = -other[7]
    run = write(rounded(1), rounded(2, other))
    write_arbitration(run, arbiter(EXACT))
    write_arbitration(run, arbiter(other, "z"), "against")
    result = deltann.load(run)
    (flip,) = result.compared[0].comparison.outputs[0].classification.flips
    assert (flip.kind, flip.wrong, flip.truth) == (Kind.FAULT, "models", None)
    assert "1 of 40 labels differ in the two models' own float64" in " ".join(result.compared[0].judgement.reasons)


def test_where_one_file_has_no_arbiter_the_other_ones_is_no_judge_of_both(write):
    """As of a .tflite file beside its .onnx source."""
    run = write(rounded(1), rounded(2))
    write_arbitration(run, arbiter(EXACT, "z"), "against")
    write_json(evidence_folder(run, "model") / "evidence.json", {"arbiter": {"reason": "torch reads no .tflite files"}})
    result = deltann.load(run)
    assert (result.verdict, result.blamed) == (Verdict.AGREE, ())
    flipped = rounded(2)
    flipped[7] = -flipped[7]
    assert judged_anew(run, flipped).verdict is Verdict.DIFFER


def judged_anew(run: Run, second):
    """The same run with other outputs of the second model."""
    for path in run.outputs_folder(Cell("ort", "against")).glob("*.npy"):
        if np.load(path).shape == second.shape:
            np.save(path, second)
    return deltann.load(run)


@pytest.mark.parametrize("role", ["model", "against"])
def test_inputs_that_could_not_have_told_of_either_model_prove_nothing_of_both(write, role):
    run = write(rounded(1), rounded(2))
    name = {"model": "y", "against": "z"}[role]
    sound = {name: rounded(3)[:8]}
    blind = Sabotage("ort", sound, (Sabotaged("a", "graph", "fault", {name: sound[name].copy()}),))
    write_sabotage(run, blind, role)
    assert deltann.load(run).verdict is Verdict.INCONCLUSIVE
    fault = Sabotaged("b", "graph", "fault", {name: -sound[name]})
    (evidence_folder(run, role) / "evidence.json").unlink()
    write_sabotage(run, replace(blind, copies=(fault, fault)), role)
    assert deltann.load(run).verdict is Verdict.AGREE


def test_tolerances_and_limits_go_by_the_second_models_names(write):
    run = write(rounded(1), rounded(2, EXACT * 1.01))
    assert deltann.load(run).verdict is Verdict.DIFFER
    assert deltann.load(run, rtol="z=0.1").verdict is Verdict.AGREE
    assert deltann.load(run, max_disagreement="10%").verdict is Verdict.AGREE
    assert deltann.load(run, max_disagreement="1%").verdict is Verdict.INCONCLUSIVE
    assert deltann.load(run, max_disagreement="10%", task="z=tensor").verdict is Verdict.DIFFER


def test_outputs_swapped_by_the_second_model_differ(write):
    assert deltann.load(write(rounded(1), rounded(2)[:, ::-1].copy())).verdict is Verdict.DIFFER


def test_power_is_judged_as_pairs_of_two_models_are(write):
    """Float64 would notice these copies, and judges no pair of two models."""
    run = write(rounded(1), rounded(2))
    for role, name in (("model", "y"), ("against", "z")):
        write_arbitration(run, arbiter(EXACT, name), role)
        sound = {name: rounded(9)[SEEN]}
        slight = {name: sound[name] * np.float32(1 + 4e-4)}
        write_sabotage(run, Sabotage("ort", sound, (Sabotaged("a", "graph", "fault", slight),)), role)
    result = deltann.load(run)
    assert [power.noticed for power in result.weighed.powers.values()] == [0, 0]
    assert result.verdict is Verdict.INCONCLUSIVE


def test_an_output_that_neither_model_gave_is_a_difference(write):
    run = write(rounded(1), rounded(2))
    document = dict(run.document)
    for model in document["models"].values():
        model["outputs"].append(["aux", "float32", ["batch", 3]])
    write_json(run.folder / "run.json", document)
    result = deltann.load(run.folder)
    assert result.verdict is Verdict.DIFFER
    assert "output 'aux', which the model declares, is missing from both sides" in result.compared[0].judgement.reasons
