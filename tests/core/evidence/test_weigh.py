"""What a run's evidence says of each cell and model, before any pair is judged."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deltann.comparison.evidence import Arbitration, Sabotage, Sabotaged
from deltann.comparison.precision import Precision
from deltann.comparison.tolerance import Tolerances, parse_tolerances
from deltann.criteria import parse_tasks
from deltann.errors import UsageError
from deltann.evidence.places import evidence_folder
from deltann.evidence.weigh import Weighed, weigh
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.runner.outputs import OutputWriter
from deltann.store import Cell, Run, open_run, write_json
from deltann.testing.stored import write_arbitration, write_repeats, write_run, write_sabotage

RNG = np.random.default_rng(3)
EXACT = RNG.standard_normal((20, 6))
SINGLE = EXACT.astype(np.float32)
SEEN = np.array([0, 9, 19, 4])
FOUND = Arbitration("torch[outputs=computed,precision=float64]", SEEN, 3, {"y": EXACT[SEEN]}, {"y": SINGLE[SEEN]})
CRASH = Outcome(Status.FAILED, Stage.RUN, Symptom.CRASH, "SIGSEGV while RUN")


def weighed(run: Run, tolerances: Tolerances | None = None, tasks: tuple[str, ...] = (), limit=None) -> Weighed:
    records = {cell: run.record(cell) for cell in run.cells}
    ok = {cell: run.outputs(cell) for cell, record in records.items() if record.outcome.status is Status.OK}
    return weigh(run, records, ok, tolerances or Tolerances(), parse_tasks(tasks), limit)


@pytest.fixture
def make(tmp_path: Path):
    def write(cells, **how) -> Run:
        made = {name: given if isinstance(given, Outcome) else {"y": given} for name, given in cells.items()}
        return write_run(tmp_path / "run", made, **how)

    return write


def copies(*outputs):
    made = [Sabotaged(f"c{n}", "graph", f"fault {n}", None if y is None else {"y": y}, "" if y is not None else "died")
            for n, y in enumerate(outputs)]  # fmt: skip
    return Sabotage("ort", {"y": SINGLE[SEEN[:3]]}, tuple(made))


def test_where_nothing_was_gathered_nothing_is_known(make):
    found = weighed(make({"ort": SINGLE, "tvm": SINGLE, "torch": CRASH}))
    assert (dict(found.arbiters), dict(found.powers), dict(found.coarse)) == ({"model": None}, {"model": None}, {})
    assert dict(found.sound) == {}
    assert dict(found.noise) == {Cell("ort"): (), Cell("tvm"): ()}
    assert set(found.precisions) == {Cell("ort"), Cell("tvm")}


def test_each_cell_is_held_to_float64_on_the_arbiters_samples(make):
    wrong = SINGLE.copy()
    wrong[9, 2] += 0.01
    unseen = SINGLE.copy()
    unseen[10, 2] += 0.01
    run = make({"ort": SINGLE, "tvm": wrong, "tract": unseen, "torch": CRASH})
    write_arbitration(run, FOUND)
    found = weighed(run)
    assert {str(cell): [entry.sound for entry in entries] for cell, entries in found.sound.items()} == {
        "ort": [True],
        "tvm": [False],
        "tract": [True],
    }
    assert found.sound[Cell("tvm")][0].samples == 4


@pytest.mark.parametrize(
    ("facts", "precision"),
    [
        ({}, Precision.FLOAT32),
        ({"options": {"precision": "bf16"}}, Precision.BFLOAT16),
        ({"actual": {"precision": "bfloat16"}}, Precision.BFLOAT16),
        ({"options": {"precision": "float16"}, "actual": {"precision": "float32"}}, Precision.FLOAT16),
        ({"options": {"precision": "model"}, "actual": {"precision": "int8 (36 of 40; float32: 4)"}}, Precision.INT8),
        ({"options": {"precision": "float64"}}, Precision.FLOAT32),  # of outputs that are float32
    ],
)
def test_a_cell_is_judged_as_the_coarser_of_what_was_asked_and_told(make, facts, precision):
    run = make({"ort": SINGLE, "openvino": SINGLE}, facts={"openvino": facts})
    write_arbitration(run, FOUND)
    found = weighed(run)
    assert found.precisions == {Cell("ort"): Precision.FLOAT32, Cell("openvino"): precision}
    assert [entry.precision for entry in found.sound[Cell("openvino")]] == [precision]


def test_a_float16_model_makes_every_cell_one(make):
    run = make({"ort": SINGLE.astype("f2"), "tvm": SINGLE.astype("f2")})
    write_arbitration(run, FOUND)
    found = weighed(run)
    assert set(found.precisions.values()) == {Precision.FLOAT16}
    assert all(entry.sound for entries in found.sound.values() for entry in entries)


def test_self_noise(make):
    run = make({"ort": SINGLE, "tvm": SINGLE})
    write_repeats(run, "ort", [{"y": SINGLE[:5]}, {"y": SINGLE[:5]}])
    write_repeats(run, "tvm", [{"y": SINGLE[:5]}, {"y": SINGLE[:5][::-1]}])
    found = weighed(run)
    (same,), (other,) = found.noise[Cell("ort")], found.noise[Cell("tvm")]
    assert same.identical
    assert (other.identical, other.samples) == (False, 5)
    assert other.outside
    assert other.labels_changed
    (tensor,) = weighed(run, tasks=("tensor",)).noise[Cell("tvm")]
    assert tensor.labels_changed == 0
    (loose,) = weighed(run, parse_tolerances([], ["100"])).noise[Cell("tvm")]
    assert (loose.outside, loose.labels_changed) == (0, other.labels_changed)


def test_a_repeat_that_failed_is_told_of_every_output(make):
    run = make({"ort": SINGLE, "tvm": SINGLE}, facts={"tvm": {"repeat_failed": "run again, it failed", "repeated": 7}})
    (noise,) = weighed(run).noise[Cell("tvm")]
    assert (noise.problem, noise.samples, noise.identical) == ("run again, it failed", 7, False)


def test_power_goes_by_the_criteria(make):
    run = make({"ort": SINGLE, "tvm": SINGLE})
    sound = SINGLE[SEEN[:3]]
    write_sabotage(run, copies(sound * np.float32(1.01), -sound))
    assert weighed(run).powers["model"].noticed == 2
    assert weighed(run, parse_tolerances(["0.1"], [])).powers["model"].noticed == 1
    assert weighed(run, limit=0.01).powers["model"].noticed == 1
    assert weighed(run, parse_tolerances(["9"], []), ("tensor",), 0.01).powers["model"].noticed == 0


def test_power_at_each_precision_that_a_cell_is_judged_as(make):
    run = make(
        {"ort": SINGLE, "tvm": SINGLE, "openvino": SINGLE}, facts={"openvino": {"options": {"precision": "bf16"}}}
    )
    sound = SINGLE[SEEN[:3]]
    write_arbitration(run, FOUND)
    write_sabotage(run, copies(sound * np.float32(1.0005), sound * np.float32(1.002), -sound))
    found = weighed(run)
    assert found.powers["model"].noticed == 3
    assert {key: power.noticed for key, power in found.coarse.items()} == {("model", Precision.BFLOAT16): 1}


def test_copies_that_did_not_run_are_not_counted(make):
    run = make({"ort": SINGLE, "tvm": SINGLE})
    write_sabotage(run, copies(-SINGLE[SEEN[:3]], None, SINGLE[SEEN[:3]]))
    power = weighed(run).powers["model"]
    assert (power.copies, power.noticed, power.missed) == (2, 1, ("graph: fault 2",))


def test_where_no_copy_ran_the_reason_is_told(make):
    run = make({"ort": SINGLE, "tvm": SINGLE})
    write_sabotage(run, copies(None, None))
    assert weighed(run).powers["model"] == "none of 2 copies ran: died"


def test_where_there_are_no_copies_nothing_is_noticed_by_them(make):
    run = make({"ort": SINGLE, "tvm": SINGLE})
    write_sabotage(run, copies())
    assert isinstance(weighed(run).powers["model"], str)


def test_why_there_is_none_is_kept(make):
    run = make({"ort": SINGLE, "tvm": SINGLE})
    why = {"arbiter": {"reason": "no torch"}, "sabotage": {"reason": "600 MiB"}}
    write_json(evidence_folder(run, "model") / "evidence.json", why)
    found = weighed(run)
    assert (found.arbiters["model"], found.powers["model"], dict(found.sound)) == ("no torch", "600 MiB", {})


@pytest.mark.parametrize(
    "damage",
    [
        lambda found: replace(found, float32={"z": SINGLE[SEEN]}),
        lambda found: replace(found, float32={"y": SINGLE[SEEN][:, :3]}),
        lambda found: replace(found, chosen=5),
        lambda found: replace(found, chosen=0),
    ],
)
def test_parts_that_do_not_fit_together_are_damage(make, damage):
    run = make({"ort": SINGLE, "tvm": SINGLE})
    write_arbitration(run, damage(FOUND))
    with pytest.raises(UsageError, match="evidence is missing or damaged"):
        weighed(run)


def write_batches(folder: Path, scores, rows: int = 10) -> None:
    """Scores, and their mean over each run: the last run is padded."""
    shutil.rmtree(folder, ignore_errors=True)
    writer = OutputWriter(folder, len(scores), rows, batched=True)
    for number, start in enumerate(range(0, len(scores), rows)):
        batch = np.resize(scores[start : start + rows], (rows, *scores.shape[1:]))
        writer.write(number, {"y": batch, "mean": batch.mean(axis=0, keepdims=True)}, 0.001)


def test_samples_run_in_batches_leave_out_what_has_no_row_for_each(make):
    """The arbiter's batches are of other samples, so that it says nothing of a mean over one."""
    run = make({"ort": SINGLE, "tvm": SINGLE})
    write_json(run.folder / "run.json", run.document | {"rows": {"model": 10}})
    run = open_run(run.folder)
    for cell in run.cells:
        write_batches(run.outputs_folder(cell), SINGLE)
    seen = np.append(np.arange(0, 20, 2), 5)
    write_arbitration(run, replace(FOUND, samples=seen, chosen=10))
    for name, scores in (("float64", EXACT), ("float32", SINGLE)):
        write_batches(evidence_folder(run, "model") / name, scores[seen])
    found = weighed(run)
    assert set(run.outputs(Cell("ort"))) == {"y", "mean"}
    assert [(entry.output, entry.samples, entry.sound) for entry in found.sound[Cell("ort")]] == [("y", 11, True)]


@pytest.mark.parametrize(
    ("weights", "precision"),
    [("float16", Precision.FLOAT16), ("bfloat16", Precision.BFLOAT16), (None, Precision.FLOAT32)],
)
def test_a_model_of_half_weights_makes_every_cell_one_whatever_its_inputs_are(make, weights, precision):
    run = make({"ort": SINGLE, "tvm": SINGLE}, facts={"tvm": {"actual": {"precision": "float32"}}})
    write_json(evidence_folder(run, "model") / "evidence.json", {"weights": weights})
    assert set(weighed(run).precisions.values()) == {precision}


@pytest.mark.parametrize(
    "facts",
    [
        {"actual": ["float32"]},
        {"actual": "float32"},
        {"actual": {"precision": 5}},
        {"actual": {"note": None}},
        {"options": ["precision"]},
        {"repeat_failed": ["no"]},
        {"repeat_failed": "it failed", "repeated": "many"},
    ],
)
def test_facts_of_the_wrong_type_are_damage(make, facts):
    run = make({"ort": SINGLE, "tvm": SINGLE}, facts={"tvm": facts})
    with pytest.raises(UsageError, match=r"cell\.json: damaged \(facts\.\w+ .+\); run the comparison again"):
        weighed(run)


def test_facts_that_were_not_told_are_none(make):
    facts = {"actual": None, "options": None, "repeat_failed": None, "repeated": None}
    run = make({"ort": SINGLE, "tvm": SINGLE}, facts={"tvm": facts})
    assert set(weighed(run).precisions.values()) == {Precision.FLOAT32}
