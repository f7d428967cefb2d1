"""The published JSON Schemas (2020-12) of what deltann writes for machines; `docs/json.md` says how versions grow."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

VERSIONS = {"report": 1, "calibration": 1, "scoreboard": 1}
"""The current version of each document. Raised where a reader of the old form could be misled."""


def schema_id(name: str) -> str:
    """What a document of this kind has as its `$schema`."""
    return f"urn:deltann:schema:{name}-{VERSIONS[name]}"


def head(name: str) -> dict[str, Any]:
    """The keys that a document of this kind begins with."""
    return {"$schema": schema_id(name), "schema": {"name": f"deltann-{name}", "version": VERSIONS[name]}}


def schema(name: str = "report") -> dict[str, Any]:
    """The schema of `compare`, `bench` and `report --json`, or of the other kinds in `VERSIONS`.

    Raises:
        KeyError: there is no such kind.
    """
    file = files("deltann.report") / "schemas" / f"{name}-{VERSIONS[name]}.schema.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found
