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
from deltann.store import Run, RunStatus, open_run

DEEPEST = 3
"""Folders down, where a run may be: `runs/night/model` is one. No run is looked for inside a run."""


@dataclass(frozen=True)
class Listed:
    """A folder with a `run.json`. `name`: relative to the folder of runs. `run` is None where `problem` says why.

    `changed`: of its `run.json`, in ns; `created`: seconds since 1970.
    """

    name: str
    folder: Path
    run: Run | None
    problem: str
    changed: int
    created: float

    @property
    def when(self) -> str:
        """`2026-01-31 12:00 UTC`."""
        return f"{datetime.fromtimestamp(self.created, UTC):%Y-%m-%d %H:%M} UTC"


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
    for child in folder.iterdir():
        if deeper and child.is_dir() and child.resolve().is_relative_to(root):
            yield from _found(child, root, deeper - 1)


def _listed(folder: Path, root: Path) -> Listed:
    name, changed = str(folder.relative_to(root)), (folder / "run.json").stat().st_mtime_ns
    try:
        if not (folder / "run.json").resolve().is_relative_to(root):
            raise UsageError("its run.json leads out of the folder")
        run = open_run(folder, partial=True)
    except UsageError as error:
        return Listed(name, folder, None, str(error), changed, changed / 1e9)
    try:
        created = datetime.fromisoformat(run.document["created"]).timestamp()
    except ValueError:
        created = changed / 1e9
    return Listed(name, folder, run, "", changed, created)


class Verdicts:
    """Judges runs in the background, one after the other and each once: one of many samples takes a minute."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, int], Future[str]] = {}
        self._waiting: queue.SimpleQueue[tuple[Path, Future[str]]] = queue.SimpleQueue()
        # A daemon, so that whoever ends the program need not wait for a judgement that nobody will see.
        threading.Thread(target=self._judge, daemon=True).start()

    def of(self, listed: tuple[Listed, ...], patience: float = 1.0) -> dict[str, str | None]:
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
                future.set_result(f"cannot be judged: {one_line(str(error))}")


def _verdict(folder: Path) -> str:
    from deltann.report.contents import load_contents

    try:
        contents = load_contents(folder)
    except UsageError as error:
        return f"cannot be judged: {error}"
    incomplete = ", incomplete" if contents.result.missing else ""
    times = f"; time {contents.timing.verdict}" if contents.timing is not None else ""
    return f"{contents.result.verdict}{incomplete}{times}"
