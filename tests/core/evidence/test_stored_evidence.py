"""Evidence on disk: it comes back as it was, and damage is an error that names the run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deltann.comparison.evidence import Arbitration, Sabotage, Sabotaged
from deltann.errors import UsageError
from deltann.evidence.places import evidence_folder
from deltann.evidence.stored import arbitration, repeats, sabotaged
from deltann.store import Cell, Run, write_json
from deltann.testing.stored import write_arbitration, write_repeats, write_run, write_sabotage

_SCORES = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)
_ROWS = np.array([0, 5, 2])
_FOUND = Arbitration(
    "exact", _ROWS, 2, {"y": _SCORES[_ROWS].astype(np.float64)}, {"y": _SCORES[_ROWS]}, ({"y": _SCORES[_ROWS] + 1},)
)
_COPIES = Sabotage(
    "ort",
    {"y": _SCORES[:2]},
    (Sabotaged("a", "graph", "swapped", {"y": _SCORES[:2] * 2}), Sabotaged("b", "layout", "died", None, "no such op")),
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return write_run(tmp_path / "run", {"a": {"y": _SCORES}, "b": {"y": _SCORES}})


def test_what_nobody_asked_for_is_none(run: Run) -> None:
    assert arbitration(run, "model") is None
    assert sabotaged(run, "model") is None
    assert repeats(run, Cell("a")) == ()


def test_the_arbiters_outputs_come_back(run: Run) -> None:
    write_arbitration(run, _FOUND)
    found = arbitration(run, "model")
    assert isinstance(found, Arbitration)
    assert (found.environment, found.chosen) == ("exact", 2)
    np.testing.assert_array_equal(found.samples, _ROWS)
    assert found.float64["y"].dtype == np.float64
    np.testing.assert_array_equal(found.float64["y"], _FOUND.float64["y"])
    np.testing.assert_array_equal(found.perturbed[0]["y"], _FOUND.perturbed[0]["y"])


def test_sabotaged_copies_come_back_those_that_died_too(run: Run) -> None:
    write_sabotage(run, _COPIES)
    found = sabotaged(run, "model")
    assert isinstance(found, Sabotage)
    assert found.copies[0].outputs is not None
    np.testing.assert_array_equal(found.copies[0].outputs["y"], _SCORES[:2] * 2)
    assert found.copies[1] == _COPIES.copies[1]


def test_repeats_come_back(run: Run) -> None:
    write_repeats(run, "a", [{"y": _SCORES[:2]}, {"y": _SCORES[:2] + 1}])
    again = repeats(run, Cell("a"))
    np.testing.assert_array_equal(again[1]["y"], _SCORES[:2] + 1)
    assert repeats(run, Cell("b")) == ()


def test_why_there_is_no_arbiter_comes_back(run: Run) -> None:
    write_json(evidence_folder(run, "model") / "evidence.json", {"arbiter": {"reason": "no torch"}})
    assert arbitration(run, "model") == "no torch"


def test_damage_is_an_error(run: Run) -> None:
    write_arbitration(run, _FOUND)
    write_sabotage(run, _COPIES)
    folder = evidence_folder(run, "model")
    (folder / "float32" / "0.npy").write_bytes(b"spoilt")
    with pytest.raises(UsageError, match="evidence is missing or damaged"):
        arbitration(run, "model")
    (folder / "evidence.json").write_text("[]")
    for read in (arbitration, sabotaged):
        with pytest.raises(UsageError, match="evidence is missing or damaged"):
            read(run, "model")


def test_samples_that_the_run_does_not_have_are_damage(run: Run) -> None:
    write_arbitration(run, replace(_FOUND, samples=np.array([0, 1, 6])))
    with pytest.raises(UsageError, match="a sample that the run does not have"):
        arbitration(run, "model")
