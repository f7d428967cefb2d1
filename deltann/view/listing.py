"""The runs of a folder, newest first, and what each one's verdict is."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deltann.errors import UsageError, one_line
from deltann.outcome import Status
from deltann.store import Run, RunStatus, open_run
from deltann.timing.stored import timing_folder

DEEPEST = 3
"""Folders down, where a run may be: `runs/night/model` is one. No run is looked for inside a run."""


@dataclass(frozen=True)
class Listed:
    """A folder with a `run.json`, or one that cannot be looked into. `run` is None where `problem` says why.

    `name`: relative to the folder of runs. `changed`: when what verdicts rest on was written last, in ns; `created`: in
    seconds since 1970; `when`: the same as `2026-01-31 12:00 UTC`.
    """

    name: str
    folder: Path
    run: Run | None
    problem: str
    changed: int = 0
    created: float = 0.0
    when: str = ""


@dataclass(frozen=True)
class Judged:
    """What the list says of a run; `exit_code` as `deltann report` would end, None where it cannot be judged."""

    text: str
    exit_code: int | None = None

    @property
    def tone(self) -> str:
        """The class of the style sheet."""
        return {0: "good", 1: "bad"}.get(self.exit_code if self.exit_code is not None else -1, "doubt")


def runs_in(folder: Path) -> tuple[Listed, ...]:
    """The runs in `folder`, or `folder` alone where it is a run itself; a link that leads out of it is none.

    Raises:
        UsageError: it is no folder, or cannot be read.
    """
    try:
        root = folder.resolve(strict=True)
        found = list(_found(root, root.parent if (root / "run.json").exists() else root, DEEPEST))
    except OSError as error:
        raise UsageError(f"cannot list the runs of {folder}: {error.strerror}; name a folder of runs") from error
    return tuple(sorted(found, key=lambda listed: (-listed.created, listed.name)))


def _found(folder: Path, root: Path, deeper: int) -> Iterator[Listed]:
    if (folder / "run.json").is_file():
        yield _listed(folder, root)
        return
    for child in folder.iterdir() if deeper else ():
        try:
            # Whole before any of it counts: it may be removed meanwhile, or not be for us to read.
            inside = child.is_dir() and child.resolve().is_relative_to(root)
            found = list(_found(child, root, deeper - 1)) if inside else []
        except OSError as error:
            found = [Listed(str(child.relative_to(root)), child, None, f"cannot be read ({error.strerror})")]
        yield from found


def _listed(folder: Path, root: Path) -> Listed:
    name, written = str(folder.relative_to(root)), (folder / "run.json").stat().st_mtime_ns
    try:
        run = open_run(folder, partial=True)
    except UsageError as error:
        return Listed(name, folder, None, str(error), written, written / 1e9)
    changed = max(written, _written(run))
    try:
        created = datetime.fromisoformat(run.document["created"]).astimezone(UTC)
    except (ValueError, OverflowError, OSError):  # whatever a stranger wrote
        return Listed(name, folder, run, "", changed, written / 1e9, "?")
    return Listed(name, folder, run, "", changed, created.timestamp(), f"{created:%Y-%m-%d %H:%M} UTC")


def _written(run: Run) -> int:
    """When its times were; 0 where it has none."""
    try:
        return (timing_folder(run) / "timing.json").stat().st_mtime_ns
    except OSError:
        return 0


class Verdicts:
    """Judges runs in the background, one after the other and each once: one of many samples takes a minute."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, int], Future[Judged]] = {}
        self._waiting: queue.SimpleQueue[tuple[Path, Future[Judged]]] = queue.SimpleQueue()
        # A daemon, so that whoever ends the program need not wait for a judgement that nobody will see.
        threading.Thread(target=self._judge, daemon=True).start()

    def of(self, listed: tuple[Listed, ...], patience: float = 1.0) -> dict[str, Judged | None]:
        """By name the verdict of each run that ended, None while it is being judged; waits `patience` seconds."""
        asked = {}
        for one in listed:
            if one.run is None or one.run.status is not RunStatus.COMPLETE:
                continue
            key = (one.folder, one.changed)
            if key not in self._known:
                self._known[key] = Future()
                self._waiting.put((one.folder, self._known[key]))
            asked[one.name] = self._known[key]
        wait_for(asked.values(), timeout=patience)
        return {name: future.result() if future.done() else None for name, future in asked.items()}

    def _judge(self) -> None:
        while True:
            folder, future = self._waiting.get()
            try:
                future.set_result(_verdict(folder))
            except Exception as error:
                # The page goes on, and says so; whoever started it sees where it happened.
                traceback.print_exc()
                future.set_result(Judged(f"cannot be judged: {one_line(str(error))}"))


def _verdict(folder: Path) -> Judged:
    from deltann.report.contents import load_contents

    try:
        contents = load_contents(folder)
    except UsageError as error:
        return Judged(f"cannot be judged: {error}")
    records = contents.result.records
    failed = sum(record.outcome.status not in (Status.OK, Status.NOT_RUN) for record in records)
    parts = [
        str(contents.result.verdict),
        f", {failed} of {len(records)} failed" if failed else "",
        ", incomplete" if contents.result.missing else "",
        f"; time {contents.timing.verdict}" if contents.timing is not None else "",
    ]
    return Judged("".join(parts), contents.exit_code)
