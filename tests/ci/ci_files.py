"""The project's own CI files, read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTION = ROOT / "action.yml"


def read(file: Path) -> Any:
    """The YAML of `file` as plain lists and dicts; `on` stays the word it is."""
    return YAML(typ="safe").load(file.read_text())


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every job of every workflow, by `file/job`."""
    for file in WORKFLOWS:
        for name, job in read(file)["jobs"].items():
            yield f"{file.stem}/{name}", job


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every step of every job, and of the action."""
    for name, job in jobs():
        for step in job["steps"]:
            yield name, step
    for step in read(ACTION)["runs"]["steps"]:
        yield "action", step


def taken(schema: str, *files: Path) -> str:
    """What check-jsonschema has against the files, by one of its vendored schemas; empty where it takes them."""
    from check_jsonschema.cli import main
    from click.testing import CliRunner

    done = CliRunner().invoke(main, ["--builtin-schema", f"vendor.{schema}", *map(str, files)])
    return "" if done.exit_code == 0 else done.output or repr(done.exception)
