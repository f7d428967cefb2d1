"""A scoreboard on disk.

    RUN/request.json               schema version, what was asked, versions, the cases
    RUN/results/ENVIRONMENT.jsonl  a line a case (`Row`), appended when the case ends
    RUN/findings/ENVIRONMENT/CASE  what an engine is not to do, with all that repeats it
    RUN/scoreboard.json, .md, .html  the table, once all cases have ended

A process that was killed leaves whole lines and at most one torn one, which does not count.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deltann.environment import Environment
from deltann.errors import UsageError, one_line
from deltann.scoreboard.cases import Case
from deltann.scoreboard.row import Row
from deltann.store import LOCK, write_json

SCHEMA = 1
_REQUEST = "request.json"
WORK = ".scoreboard-work"
_IDENTITY = ("deltann", "onnx", "selection", "environments", "timeout_s", "memory_limit")


@dataclass(frozen=True)
class Record:
    """A scoreboard's folder and its `request.json`; `append` may be called from several threads."""

    folder: Path
    document: Mapping[str, Any]
    _writing: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def environments(self) -> dict[str, str]:
        """The framework's version by environment, in the order asked."""
        return {one["spec"]: one["version"] for one in self.document["environments"]}

    @property
    def cases(self) -> tuple[Case, ...]:
        """The cases asked for, those that cannot be tested among them."""
        return tuple(Case(**case) for case in self.document["cases"])

    def rows(self, environment: str) -> dict[str, Row]:
        """What ended, by case.

        Raises:
            UsageError: the file is damaged.
        """
        path = self._results(environment)
        if not path.is_file():
            return {}
        try:
            rows = [Row.from_json(json.loads(line)) for line in _whole_lines(path)]
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(f"{path}: damaged ({one_line(str(error))}); delete it, and repeat the command") from error
        return {row.case: row for row in rows}

    def append(self, environment: str, row: Row) -> None:
        """Store how a case ended."""
        path = self._results(environment)
        with self._writing:
            path.parent.mkdir(exist_ok=True)
            with path.open("a+b") as file:
                _drop_torn_line(file)
                file.write(json.dumps(row.to_json(), allow_nan=False).encode() + b"\n")

    def pending(self) -> dict[str, list[str]]:
        """The cases that have not ended, by environment."""
        testable = [case.name for case in self.cases if not case.untested]
        pending = {}
        for environment in self.environments:
            ended = self.rows(environment)
            pending[environment] = [name for name in testable if name not in ended]
        return pending

    def finding(self, environment: str, case: str) -> Path:
        """The folder of a finding, which may not be there."""
        return self.folder / "findings" / Environment.parse(environment).slug / case

    @property
    def work(self) -> Path:
        """For what is gone when the scoreboard is made: models, inputs, artifacts, logs."""
        return self.folder / WORK

    def _results(self, environment: str) -> Path:
        return self.folder / "results" / f"{Environment.parse(environment).slug}.jsonl"


def open_record(folder: Path, asked: Mapping[str, Any]) -> Record | None:
    """The scoreboard in `folder`, if it was asked for alike; None where the folder holds nothing.

    Raises:
        UsageError: it holds something else, or a scoreboard of another request, or is damaged.
    """
    path = folder / _REQUEST
    if not path.is_file():
        if any(item.name not in (LOCK, WORK) for item in folder.iterdir()):
            raise UsageError(f"{folder} is not empty and holds no scoreboard: choose another --out")
        return None
    try:
        document = json.loads(path.read_text())
        schema = int(document["schema"])
        changed = [key for key in _IDENTITY if document[key] != asked[key]]
        adapters = _adapters_changed(document, asked) if changed == ["environments"] else ""
        record = Record(folder, document)
        assert record.cases
        assert record.environments
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise UsageError(f"{path}: damaged ({one_line(str(error))}); choose another --out") from error
    if schema > SCHEMA:
        raise UsageError(f"{path}: schema {schema} is newer than this deltann reads ({SCHEMA}); upgrade deltann")
    if changed:
        what = f"made by another adapter of {adapters}" if adapters else f"of another {', '.join(changed)}"
        raise UsageError(f"{folder} holds a scoreboard {what}: choose another --out")
    return record


def create_record(folder: Path, asked: Mapping[str, Any], cases: list[Case], more: Mapping[str, Any]) -> Record:
    """Start one: `asked` is what a repetition must share, `more` what it need not."""
    document = {"schema": SCHEMA, **asked, **more, "cases": [asdict(case) for case in cases]}
    write_json(folder / _REQUEST, document)
    return Record(folder, document)


def _adapters_changed(document: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """The environments of which nothing but the adapter's code is another; empty where something else is."""
    before, now = document["environments"], asked["environments"]
    if [{**one, "adapter": ""} for one in before] != [{**one, "adapter": ""} for one in now]:
        return ""
    return ", ".join(b["spec"] for a, b in zip(before, now, strict=True) if a.get("adapter") != b["adapter"])


def _whole_lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from (line for line in file if line.endswith(b"\n"))


def _drop_torn_line(file: Any) -> None:
    """Cut what a killed process left after the last newline, so that nothing is appended to it."""
    size = file.seek(0, 2)
    if not size:
        return
    file.seek(size - 1)
    if file.read(1) != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
    file.seek(0, 2)
