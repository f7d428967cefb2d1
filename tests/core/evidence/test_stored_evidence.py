"""Evidence on disk: it comes back as it was, and damage is an error that names the run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deltann.comparison.evidence import Arbitration, Sabotage, Sabotaged
from deltann.comparison.precision import Precision
from deltann.errors import UsageError
from deltann.evidence.places import evidence_folder
from deltann.evidence.stored import arbitration, repeats, sabotaged, weights
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


def _change(run: Run, **parts: Any) -> None:
    """Put other values into the record; those of a part that is an object are changed one by one."""
    path = evidence_folder(run, "model") / "evidence.json"
    record = json.loads(path.read_text())
    for key, value in parts.items():
        inner = isinstance(value, dict) and isinstance(record.get(key), dict)
        record[key] = {**record[key], **value} if inner else value
    write_json(path, record)


def _read_all(run: Run) -> None:
    arbitration(run, "model")
    sabotaged(run, "model")
    weights(run, "model")
    repeats(run, Cell("a"))


@pytest.fixture
def full(run: Run) -> Run:
    write_arbitration(run, _FOUND)
    write_sabotage(run, _COPIES)
    write_repeats(run, "a", [{"y": _SCORES[:2]}] * 2)
    _read_all(run)
    return run


_COPY = {"name": "a", "kind": "graph", "description": "swapped", "reason": None}


@pytest.mark.parametrize(
    "parts",
    [
        {"arbiter": 5},
        {"arbiter": {"reason": ["none"]}},
        {"arbiter": {"environment": 5}},
        {"arbiter": {"environment": "no spec at all"}},
        {"arbiter": {"perturbed": -1}},
        {"arbiter": {"perturbed": 65}},
        {"arbiter": {"perturbed": 1.0}},
        {"arbiter": {"perturbed": True}},
        {"samples": [[0], [5], [2]]},
        {"samples": [0.0, 5.0, 2.0]},
        {"samples": [0, -1, 2]},
        {"samples": [0, 10**30, 2]},
        {"samples": 5},
        {"chosen": "2"},
        {"chosen": 0},
        {"chosen": 4},
        {"sabotage": 5},
        {"sabotage": {"reason": 5}},
        {"sabotage": {"environment": None}},
        {"sabotage": {"copies": 5}},
        {"sabotage": {"copies": ["a"]}},
        {"sabotage": {"copies": [{**_COPY, "name": 5}]}},
        {"sabotage": {"copies": [{**_COPY, "kind": None}]}},
        {"sabotage": {"copies": [{**_COPY, "description": ["x"]}]}},
        {"sabotage": {"copies": [{**_COPY, "reason": 5}]}},
        {"weights": "float8"},
        {"weights": ["float16"]},
    ],
)
def test_a_record_that_is_not_what_it_should_be_is_damage(full: Run, parts: dict[str, Any]) -> None:
    _change(full, **parts)
    with pytest.raises(UsageError, match="evidence is missing or damaged") as raised:
        _read_all(full)
    assert "\n" not in str(raised.value)


def test_the_weights_type_comes_back(full: Run) -> None:
    assert weights(full, "model") is None
    _change(full, weights="float16")
    assert weights(full, "model") is Precision.FLOAT16


@pytest.mark.parametrize("part", ["model/float64", "model/perturbed-1", "model/sound", "model/copy-00", "repeats/a"])
@pytest.mark.parametrize("dtype", ["U3", "c8", "M8[s]", "g"])
def test_arrays_of_no_numbers_are_damage(full: Run, part: str, dtype: str) -> None:
    file = next((full.folder / "evidence" / part.replace("repeats/a", "repeats/model/a/1")).glob("0.npy"))
    np.save(file, np.zeros(np.load(file).shape, dtype))
    with pytest.raises(UsageError, match="evidence is missing or damaged"):
        _read_all(full)


@pytest.mark.parametrize(
    "link", ["model/evidence.json", "model/float32", "model/float64/0.npy", "model/copy-00/outputs.json",
             "repeats/model/a/1/0.npy"],
)  # fmt: skip
def test_links_that_lead_out_of_the_run_are_refused(full: Run, link: str, tmp_path: Path) -> None:
    path = full.folder / "evidence" / link
    inside = path.with_name("kept")
    path.rename(inside)
    path.symlink_to(inside)
    _read_all(full)
    path.unlink()
    path.symlink_to(shutil.move(inside, tmp_path / "elsewhere"))
    with pytest.raises(UsageError, match="leads out of the run"):
        _read_all(full)
