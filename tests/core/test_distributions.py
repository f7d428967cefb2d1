"""The distributions of a run's errors: of every pair and output whose numbers were compared."""

from __future__ import annotations

from time import perf_counter

import numpy as np

import deltann
from deltann.distributions import distributions
from deltann.outcome import Outcome, Stage, Status
from deltann.store import write_json
from deltann.testing.stored import write_against, write_run

RNG = np.random.default_rng(51)
SCORES = RNG.standard_normal((20, 7)).astype(np.float32)


def test_every_pair_and_output_has_one(tmp_path):
    other = SCORES.copy()
    other[3, 2] += 0.5
    same, fewer = np.arange(40).reshape(20, 2), np.zeros((20, 3))
    cells = {
        "ort": {"y": SCORES, "n": same},
        "torch": {"y": other.reshape(20, 7, 1, 1), "n": same},
        "tvm": {"y": SCORES, "n": fewer},
        "tf": Outcome(Status.FAILED, Stage.LOAD, reason="no"),
    }
    result = deltann.load(write_run(tmp_path, cells))
    found = {(f.candidate, f.reference, f.output): f.distribution for f in distributions(result)}
    assert list(found) == [
        ("torch", "ort", "y"), ("torch", "ort", "n"), ("tvm", "ort", "y"), ("tvm", "torch", "y"),
    ]  # fmt: skip
    apart = float(other[3, 2]) - float(SCORES[3, 2])
    for sides, beyond in ((("torch", "ort"), 1), (("tvm", "torch"), 1), (("tvm", "ort"), 0)):
        one = found[*sides, "y"]
        assert (one.samples, one.zeros, one.p50, one.max) == (20, 20 - beyond, 0.0, apart * beyond)
        assert sum(one.counts) == beyond
    assert found["torch", "ort", "n"].zeros == 20


def test_the_numbers_are_those_of_the_comparison(tmp_path):
    cells = {name: {"y": SCORES + RNG.normal(0, 1e-3, SCORES.shape).astype(np.float32)} for name in ("ort", "tvm")}
    result = deltann.load(write_run(tmp_path, cells))
    (found,) = distributions(result)
    assert found.distribution.max == result.compared[0].comparison.outputs[0].numeric.max_abs


def test_of_two_models_only_the_classes_that_count(tmp_path):
    """The second model has a background class in front, in which the two differ; elsewhere they are equal."""
    behind = np.concatenate([np.full((20, 1), 9, np.float32), SCORES], axis=1)
    run = write_against(write_run(tmp_path, {"ort": {"y": SCORES}}), {"ort": {"z": behind}}, {"y": "z"})
    write_json(run.folder / "run.json", {**run.document, "classes": {"against": {"z": [1, None]}}})
    (found,) = distributions(deltann.load(tmp_path))
    assert (found.candidate, found.reference, found.output) == ("against:ort", "ort", "z")
    assert found.distribution.zeros == 20


def test_eight_environments_of_a_thousand_images_take_seconds(tmp_path):
    scores = RNG.standard_normal((1000, 1000)).astype(np.float32)
    names = ("ort", "ort-O1", "torch", "tvm", "tvm-O3", "tf", "tflite", "iree")
    run = write_run(tmp_path, {name: {"y": scores + np.float32(1e-4 * n)} for n, name in enumerate(names)})
    result = deltann.load(run, max_disagreement=1)
    began = perf_counter()
    found = distributions(result)
    assert perf_counter() - began < 30, "it takes half a second on an idle machine"
    assert len(found) == 28
    assert {f.distribution.samples for f in found} == {1000}
