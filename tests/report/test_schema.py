"""The published schemas: strict, of one mind with the code, and true of documents made long ago."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import deltann
from deltann.baseline.drift import Standing, drift, update
from deltann.comparison.attribution import Sure
from deltann.comparison.evidence import Arbitration, Sabotage, Sabotaged
from deltann.comparison.flips import Kind
from deltann.comparison.precision import Precision
from deltann.comparison.verdict import Verdict
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.report.contents import Contents, load_contents
from deltann.report.json import to_json
from deltann.report.schema import VERSIONS, schema, schema_id
from deltann.scoreboard.row import Result
from deltann.store import ROLES, RunStatus
from deltann.tasks import Task
from deltann.testing.stored import write_arbitration, write_repeats, write_run, write_sabotage
from deltann.testing.times import HOST, write_times
from deltann.timing.against import against
from deltann.timing.calibration import Calibration
from deltann.timing.stored import timing
from deltann.timing.verdict import TimeVerdict

KEPT = Path(__file__).parent / "documents"
RNG = np.random.default_rng(33)
EXACT = RNG.standard_normal((12, 6))
SCORES = EXACT.astype(np.float32)
WRONG = SCORES.copy()
WRONG[3] = np.roll(SCORES[3], 1)
WRONG[5, 2] = np.nan
CRASH = Outcome(Status.FAILED, Stage.COMPILE, Symptom.CRASH, "SIGSEGV while COMPILE", "the whole log")
REPORT = Draft202012Validator(schema())


def rich(folder: Path) -> Contents:
    """A report with every part that one can have, none of them empty."""
    cells = {
        "ort": {"y": SCORES},
        "torch": {"y": WRONG},
        "tvm": CRASH,
        "tract": {"y": SCORES.copy(), "z": SCORES[:, 0]},
    }
    told = {"precision": "bfloat16", "threads": "2"}
    facts = {"ort": {"artifact": "1", "actual": told, "repeated": 4, "lower_s": 0.5}, "torch": {"artifact": "2"}}
    labels = [None, *map(int, SCORES.argmax(axis=1)[1:])]
    run = write_run(folder / "run", cells, facts=facts, labels=labels)
    write_arbitration(run, Arbitration("torch[precision=float64]", np.arange(12), 12, {"y": EXACT}, {"y": SCORES}))
    copies = (
        Sabotaged("a", "graph", "a fault", {"y": SCORES + RNG.standard_normal((12, 6)).astype(np.float32)}),
        Sabotaged("b", "layout", "another", {"y": SCORES}),
    )
    write_sabotage(run, Sabotage("ort", {"y": SCORES}, copies))
    write_repeats(run, "ort", [{"y": SCORES[:4]}, {"y": SCORES[:4] * 1.01}])
    found = Calibration(20, 0, 5, 1, 0.01, 0.24, 0.04, 0.01, 0.05, 50.0, HOST, (0.01, -0.02))
    by = {"model": "conv.onnx", "environment": "ort", "pin": [0], "created": "2026-01-01"}
    slowdowns = {"ort": 0.0, "torch": 0.3, "tract": 0.0}
    write_times(run, slowdowns, calibration={**by, "calibration": found.to_json()}, failed={"tract": CRASH})
    other = write_run(folder / "other", cells)
    write_times(other, slowdowns)
    baseline = folder / "baseline.jsonl"
    update(load_contents(other.folder), baseline)
    result = deltann.load(run)
    times = timing(run, result=result)
    assert times is not None
    contents = Contents(result, times, against(times, other))
    return Contents(*(contents.result, contents.timing, contents.against), drift(contents, baseline))


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """`rich` as a reader gets it."""
    found: dict[str, Any] = json.loads(to_json(rich(tmp_path_factory.mktemp("rich"))))
    return found


def test_the_document_names_its_schema(document: dict[str, Any]) -> None:
    assert document["$schema"] == schema()["$id"] == schema_id("report")
    assert document["schema"] == {"name": "deltann-report", "version": VERSIONS["report"]}
    REPORT.validate(document)


def test_the_rich_document_has_every_part(document: dict[str, Any]) -> None:
    assert all(document[key] for key in ("verdict", "cells", "pairs", "blamed", "timing", "baseline"))
    assert document["timing"]["against"]
    assert document["timing"]["calibration"]
    assert all(document["evidence"][part] for part in ("arbiter", "power", "precision", "soundness", "noise"))
    assert any(pair["flips"] and pair["mcnemar"] for pair in document["pairs"])
    assert {row["standing"] for row in document["baseline"]["rows"]}


@pytest.mark.parametrize("kind", VERSIONS)
def test_it_is_a_schema(kind: str) -> None:
    Draft202012Validator.check_schema(schema(kind))
    assert schema(kind)["$id"] == schema_id(kind)


OPEN = {"/properties/host", "/$defs/request", "/$defs/calibration/properties/host", "/$defs/timing/properties/host"}
"""Objects whose keys are not all ours to say: machines, and a run's own document."""


def _objects(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if "object" in (node.get("type") or ()) or "properties" in node:
            yield path, node
        for key, child in node.items():
            yield from _objects(child, f"{path}/{key}")
    elif isinstance(node, list):
        for number, child in enumerate(node):
            yield from _objects(child, f"{path}/{number}")


@pytest.mark.parametrize("kind", VERSIONS)
def test_keys_that_are_ours_are_all_there_are(kind: str) -> None:
    strict = 0
    for path, node in _objects(schema(kind)):
        if any(path.startswith(place) for place in OPEN) or path.endswith(("/host", "/if", "/then", "/calibrated_by")):
            continue
        assert "additionalProperties" in node, path
        if node["additionalProperties"] is False:
            strict += 1
            assert set(node["required"]) <= set(node["properties"]), path
    assert strict >= 2


@pytest.mark.parametrize("kind", VERSIONS)
def test_every_measure_says_its_unit(kind: str) -> None:
    for path, node in _objects(schema(kind)):
        for name, part in node.get("properties", {}).items():
            if isinstance(part, dict) and part.get("type") in ("number", ["number", "null"]):
                assert part.get("description"), f"{path}/{name}"


ENUMS: dict[tuple[str, str], type[StrEnum]] = {
    ("report", "verdict"): Verdict,
    ("report", "time_verdict"): TimeVerdict,
    ("report", "status"): Status,
    ("report", "stage"): Stage,
    ("report", "symptom"): Symptom,
    ("report", "precision"): Precision,
    ("report", "flip_kind"): Kind,
    ("report", "task"): Task,
    ("report", "sure"): Sure,
    ("report", "standing"): Standing,
    ("scoreboard", "result"): Result,
}


@pytest.mark.parametrize(("kind", "name"), ENUMS)
def test_enumerations_are_those_of_the_code(kind: str, name: str) -> None:
    assert schema(kind)["$defs"][name]["enum"] == [value.value for value in ENUMS[kind, name]]


def test_other_lists_are_those_of_the_code() -> None:
    parts = schema()["$defs"]
    assert parts["role"]["enum"] == list(ROLES)
    assert parts["request"]["properties"]["status"]["enum"] == [status.value for status in RunStatus]
    assert list(schema("scoreboard")["$defs"]["counts"]["properties"]) == [result.value for result in Result]


def test_a_calibration_is_described_once() -> None:
    assert schema("calibration")["$defs"]["calibration"] == schema()["$defs"]["calibration"]


@pytest.mark.parametrize("file", sorted(KEPT.glob("*.json")), ids=lambda file: file.stem)
def test_documents_of_a_version_stay_valid(file: Path) -> None:
    """Those of the current version, however old: what is added to a version is not required by it."""
    kind, _, version = file.stem.partition("-")
    if int(version) == VERSIONS[kind]:
        Draft202012Validator(schema(kind)).validate(json.loads(file.read_text()))


@pytest.mark.parametrize("kind", VERSIONS)
def test_a_document_of_each_current_version_is_kept(kind: str) -> None:
    kept = json.loads((KEPT / f"{kind}-{VERSIONS[kind]}.json").read_text())
    validator = Draft202012Validator(schema(kind))
    validator.validate(kept)
    said = {"name": f"deltann-{kind}", "version": VERSIONS[kind]}
    assert kept["schema"] == (VERSIONS[kind] if kind == "scoreboard" else said)
    for key in schema(kind)["required"]:
        assert not validator.is_valid({name: value for name, value in kept.items() if name != key}), key


# What is no report is refused


class Place(NamedTuple):
    """A value of the document and what the schema says of it. `strict`: the keys beside it are all there may be."""

    path: tuple[str | int, ...]
    rule: dict[str, Any]
    required: bool
    strict: bool


def _resolved(rule: dict[str, Any], data: Any) -> dict[str, Any]:
    while "$ref" in rule or "anyOf" in rule or "oneOf" in rule:
        if "$ref" in rule:
            rule = schema()["$defs"][rule["$ref"].rpartition("/")[2]]
        else:
            options = rule.get("anyOf") or rule["oneOf"]
            rule = next(option for option in options if REPORT.evolve(schema=_whole(option)).is_valid(data))
    return rule


def _whole(rule: dict[str, Any]) -> dict[str, Any]:
    return {**rule, "$defs": schema()["$defs"]}


def _places(rule: dict[str, Any], data: Any, path: tuple[str | int, ...] = ()) -> Iterator[Place]:
    rule = _resolved(rule, data)
    if isinstance(data, dict):
        more = rule.get("additionalProperties", True)
        for key, value in data.items():
            if key in rule.get("properties", {}):
                child, strict = rule["properties"][key], more is False
            elif isinstance(more, dict):
                child, strict = more, False
            else:
                continue
            yield Place((*path, key), child, key in rule.get("required", ()), strict)
            yield from _places(child, value, (*path, key))
    elif isinstance(data, list) and isinstance(rule.get("items"), dict):
        for number, value in enumerate(data[:3]):
            yield Place((*path, number), rule["items"], False, False)
            yield from _places(rule["items"], value, (*path, number))


def _inside(data: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        data = data[part]
    return data


@pytest.fixture(scope="module")
def places(document: dict[str, Any]) -> list[Place]:
    """Every place of the rich document that the schema says something of."""
    found = list(_places(schema(), document))
    assert len(found) > 300
    return found


@pytest.fixture(scope="module")
def words(document: dict[str, Any], places: list[Place]) -> list[Place]:
    """Those of them that hold one of a few words."""
    return [place for place in places if "enum" in _resolved(place.rule, _inside(document, place.path))]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_report_that_lacks_or_renames_a_key_is_none(
    document: dict[str, Any], places: list[Place], data: st.DataObject
) -> None:
    place = data.draw(st.sampled_from([place for place in places if place.required]), "place")
    changed = copy.deepcopy(document)
    *parents, key = place.path
    parent = _inside(changed, tuple(parents))
    value = parent.pop(key)
    assert not REPORT.is_valid(changed)
    if data.draw(st.booleans(), "rename"):
        parent[f"{key}_"] = value
        assert not REPORT.is_valid(changed)
    if place.strict:
        parent[key], parent["unheard_of"] = value, value
        parent.pop(f"{key}_", None)
        assert not REPORT.is_valid(changed)


VALUES: tuple[Any, ...] = (True, "text", 1.5, {"no": ["such"]}, [[{"no": 1}]])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_report_with_a_value_of_another_type_is_none(
    document: dict[str, Any], places: list[Place], data: st.DataObject
) -> None:
    place = data.draw(st.sampled_from(places), "place")
    *parents, key = place.path
    fits = 0
    for value in VALUES:
        changed = copy.deepcopy(document)
        _inside(changed, tuple(parents))[key] = value
        fits += REPORT.is_valid(changed)
    assert fits <= 1, "each value is of one type, or of none of these"


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_report_with_an_unknown_word_is_none(
    document: dict[str, Any], words: list[Place], data: st.DataObject
) -> None:
    place = data.draw(st.sampled_from(words), "place")
    *parents, key = place.path
    changed = copy.deepcopy(document)
    _inside(changed, tuple(parents))[key] = data.draw(st.sampled_from(["PASS", "agree", "", 5, -1]), "word")
    assert not REPORT.is_valid(changed)


def test_a_report_with_parts_missing_never_agrees(document: dict[str, Any]) -> None:
    agreeing = {**document, "verdict": "AGREE", "exit_code": 0, "missing": []}
    differing = {**agreeing, "missing": ["a part"], "verdict": "DIFFER", "exit_code": 1}
    assert REPORT.is_valid(agreeing)
    assert REPORT.is_valid(differing)
    assert not REPORT.is_valid({**differing, "verdict": "AGREE"})
    assert not REPORT.is_valid({**differing, "exit_code": 0})
