"""What `run.json` and `cell.json` have to hold, whoever wrote them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from deltann.criteria import Criteria
from deltann.environment import Environment

if TYPE_CHECKING:
    from deltann.store import Cell, Run

_KINDS: Mapping[str, Any] = {
    **dict.fromkeys(("version", "artifact", "repeat_failed", "backend"), str),
    **dict.fromkeys(("lower_s", "load_s"), float | int),
    **dict.fromkeys(("artifact_bytes", "peak_memory", "repeated"), int),
    **dict.fromkeys(("options", "at_load", "actual"), dict),
    "artifact_cached": bool,
}
"""Facts of a cell that reports read; each may be None."""


def damaged_parts(run: Run) -> list[str]:
    """The parts of `run.json` that are not what their readers expect; an error of Python's where one is missing."""
    document, names, cells, models = run.document, run.sample_names, run.cells, run.models
    inputs, labels, renames = document["inputs"], document["labels"], document["map_outputs"]
    roles = {cell.role for cell in cells} | {"model"}
    classes, class_names = document.get("classes", {}), document.get("class_names")
    Criteria.from_json(document["criteria"])
    right = {
        "status": bool(run.status),
        "cells": any(cell.role == "model" for cell in cells) and len(set(cells)) == len(cells) and _specs(cells),
        "models": set(models) == roles and all(isinstance(model.name, str) for model in models.values()),
        "rows": all(isinstance(document["rows"][role], int) and document["rows"][role] > 0 for role in roles),
        "inputs.names": bool(names) and texts(names),
        "inputs.source": isinstance(inputs["source"], str),
        "inputs.digest": texts(inputs["digest"][role] for role in roles),
        "inputs.pipeline": texts((inputs["pipeline"][role] or {"name": ""})["name"] for role in roles),
        "inputs.skipped": all(len(item) == 2 and texts(item) for item in inputs["skipped"]),
        "inputs.notes": texts(inputs["notes"]),
        "labels": labels is None or (len(labels["values"]) == len(names) and _numbers(labels["values"])),
        "labels.offset": labels is None or _numbers([labels["offset"]]),
        "map_outputs": texts(renames) and texts(renames.values()),
        "classes": all(len(kept) == 2 and _numbers(kept) for outputs in classes.values() for kept in outputs.values()),
        "class_names": class_names is None or (isinstance(class_names, list) and texts(class_names)),
        "versions": isinstance(document["versions"], dict),
        "host": isinstance(document["host"], dict),
        "tables": texts(document.get("tables", ())),
        "timed": isinstance(document.get("timed", False), bool),
        "deltann": texts([document["deltann"], document["created"]]),
    }
    return [part for part, fine in right.items() if not fine]


def checked_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """A cell's facts as they are; TypeError where one that reports read is of another kind."""
    for key, kind in _KINDS.items():
        if not isinstance(facts.get(key), kind | None):
            raise TypeError(f"facts.{key} is {facts[key]!r}")
    if not texts((facts.get("actual") or {}).values()):
        raise TypeError("facts.actual holds what is no text")
    return dict(facts)


def texts(values: Iterable[Any]) -> bool:
    """Whether all of them are texts."""
    return all(isinstance(value, str) for value in values)


def _specs(cells: Iterable[Cell]) -> bool:
    return all(Environment.parse(cell.environment) for cell in cells)


def _numbers(values: Iterable[Any]) -> bool:
    return all(isinstance(value, int | None) for value in values)
