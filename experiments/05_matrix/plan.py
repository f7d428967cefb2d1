"""The rows of matrix.toml, read and checked; run as a script it prints them as a matrix of GitHub jobs, in JSON.

`python plan.py` prints {"include": [{"row", "device", "newest"}, …]}: each row, and again for pre-releases.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FILE = Path(__file__).with_name("matrix.toml")


@dataclass(frozen=True)
class Model:
    """What is deployed, and what it is fed, as `deltann compare` takes them; paths from the repository's root."""

    name: str
    file: str
    inputs: str
    preprocess: str = ""

    @property
    def missing(self) -> list[str]:
        """Files and folders that are not there."""
        paths = [self.file] if self.inputs.startswith("random:") else [self.file, self.inputs]
        return [path for path in paths if not Path(path).exists()]


@dataclass(frozen=True)
class Row:
    """Environments that install together; matrix.toml says what the fields mean."""

    name: str
    device: str
    environments: tuple[str, ...]
    extras: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    newest: tuple[str, ...] = ()
    index: str = ""


@dataclass(frozen=True)
class Matrix:
    """`reference` is the environment that every other is compared with."""

    reference: str
    models: tuple[Model, ...]
    rows: tuple[Row, ...]

    def row(self, name: str) -> Row:
        """The row of that name.

        Raises:
            ValueError: there is none; the message lists those there are.
        """
        found = next((row for row in self.rows if row.name == name), None)
        if found is None:
            raise ValueError(f"no row '{name}' in {FILE.name}; its rows: {', '.join(row.name for row in self.rows)}")
        return found


def read(file: Path = FILE) -> Matrix:
    """The matrix in `file`.

    Raises:
        ValueError: a key is unknown, a name stands twice, or an environment runs on another device than its row's.
    """
    data = tomllib.loads(file.read_text())
    models = tuple(Model(**_known(Model, item)) for item in data["models"])
    rows = tuple(Row(**_known(Row, item)) for item in data["rows"])
    for names in ([model.name for model in models], [row.name for row in rows]):
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"{file.name}: {', '.join(sorted(twice))} stands twice")
    for row in rows:
        for environment in row.environments:
            device = environment.partition("[")[0].partition(":")[2] or "cpu"
            if device != row.device:
                raise ValueError(f"{file.name}: {environment} runs on {device}, its row '{row.name}' on {row.device}")
    return Matrix(data["reference"], models, rows)


def _known(kind: type, item: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    if unknown := item.keys() - names:
        raise ValueError(f"{FILE.name}: unknown key {', '.join(sorted(unknown))}; known are {', '.join(sorted(names))}")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in item.items()}


def jobs(matrix: Matrix) -> list[dict[str, Any]]:
    """A job a row, and one more for its pre-releases where it names any."""
    return [
        {"row": row.name, "device": row.device, "newest": newest}
        for newest in (False, True)
        for row in matrix.rows
        if row.newest or not newest
    ]


def pinned(file: Path = ROOT / "constraints.txt") -> dict[str, str]:
    """The versions of constraints.txt, by the packages' normalised names."""
    lines = [line.split("#")[0].strip() for line in file.read_text().splitlines()]
    pairs = (line.partition("==")[::2] for line in lines if "==" in line)
    return {_normalised(name): version for name, version in pairs}


def none_newer(row: Row, versions: Mapping[str, str]) -> bool:
    """Whether each package that the row replaces by a pre-release has the pinned version still: pip found no newer.

    `versions`: what is pinned, by normalised names.
    """
    found = {name: _installed(name) for name in row.newest}
    return all(one is not None and versions.get(_normalised(name)) == one for name, one in found.items())


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(name: str) -> str | None:
    try:
        return version(name).partition("+")[0]  # behind the + is the build: +cpu
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    print(json.dumps({"include": jobs(read())}))
