from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deltann.scoreboard.board import scoreboard
from deltann.scoreboard.execution import Limits
from deltann.scoreboard.selection import Selection
from deltann.scoreboard.table import Scoreboard
from deltann.testing.registration import registered

HERE = Path(__file__).parent


@pytest.fixture(scope="module", autouse=True)
def adapters() -> Iterator[None]:
    """`moody` is known here and in every process started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE)
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH")))))
        with registered(moody="moody:MoodyBackend"):
            yield


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`faults(Abs="faulty[symptom=CRASH]")`: what `moody` does to models of one operator."""
    return lambda **specs: monkeypatch.setenv("MOODY_FAULTS", json.dumps(specs))


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that `moody` writes."""
    path = tmp_path / "moody.log"
    path.touch()
    monkeypatch.setenv("MOODY_LOG", str(path))
    return path


Make = Callable[..., Scoreboard]


@pytest.fixture(scope="session")
def make_in() -> Make:
    """`make_in(folder, "moody", "test_abs", …)`: a scoreboard of those cases in `folder`."""

    def run(out: Path | None, backends: str | None, *globs: str, **more: Any) -> Scoreboard:
        selection = Selection(globs, more.get("operators", ()), more.get("sample"))
        limits = Limits(more.get("seconds", 60), 8 << 30, more.get("jobs", 1))
        return scoreboard(backends, selection, limits, out, more.get("listener", lambda *_: None))

    return run


@pytest.fixture
def make(make_in: Make, tmp_path: Path) -> Make:
    """`make("moody", "test_abs", …)`, in the folder `board` or that of `out`."""
    return lambda backends, *globs, out=tmp_path / "board", **more: make_in(out, backends, *globs, **more)


@pytest.fixture(scope="module")
def finished(make_in: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a scoreboard of `moody` and `test_abs`; not to be written to."""
    return make_in(tmp_path_factory.mktemp("finished") / "board", "moody", "test_abs").record.folder
