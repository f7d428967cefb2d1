"""Where a test's run is kept, and the reports beside it."""

from __future__ import annotations

import hashlib
import re
import shutil
from itertools import count, takewhile
from pathlib import Path

import pytest

from deltann.errors import Unavailable, UsageError
from deltann.report.contents import Contents

_LONGEST_NAME = 80


def folder_for(request: pytest.FixtureRequest, number: int) -> Path:
    """A folder, empty or not there yet, for the `number`-th comparison of a test: in --deltann-report, or pytest's own.

    The first one clears those of the test's later comparisons too: in this session there may be fewer.

    Raises:
        UsageError: what an earlier session left there cannot be taken away.
    """
    chosen = request.config.getoption("--deltann-report")
    if chosen is None:
        # Not the test's own tmp_path: that goes with a test that passes, if the project says so.
        factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
        return factory.mktemp("deltann") / "run"
    worker = getattr(request.config, "workerinput", {})
    # By `--dist each` of pytest-xdist another worker runs the very same test.
    own = f"-{worker['workerid']}" if worker.get("deltann_each") else ""
    first = Path(request.config.invocation_params.dir, chosen, folder_name(request.node.nodeid) + own)
    folder = first if number == 1 else _nth(first, number)
    try:
        if number == 1:
            for later in takewhile(Path.is_dir, (_nth(first, n) for n in count(2))):
                if _holds_run(later):  # anything else is not ours to delete
                    _clear(later)
                    if not any(later.iterdir()):
                        later.rmdir()
        _clear(folder)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}; choose another --deltann-report") from error
    return folder / "run"


def _nth(first: Path, number: int) -> Path:
    return first.with_name(f"{first.name}-{number}")


def _holds_run(folder: Path) -> bool:
    return (folder / "run" / "run.json").exists()


def _clear(folder: Path) -> None:
    """Take away the run of an earlier session and its reports."""
    if _holds_run(folder):
        shutil.rmtree(folder / "run")
    for report in ("report.json", "report.html"):
        (folder / report).unlink(missing_ok=True)


def folder_name(nodeid: str) -> str:
    """A name for a test's folder, another for each test."""
    readable = re.sub(r"[^A-Za-z0-9.=-]+", "_", nodeid).strip("_.")[-_LONGEST_NAME:]
    return f"{readable}-{hashlib.sha256(nodeid.encode(errors='surrogatepass')).hexdigest()[:8]}"


def write_reports(contents: Contents) -> str | None:
    """Write report.json, and report.html where the extra `html` is installed, beside the run.

    Returns why there is no report.html, if so.

    Raises:
        UsageError: they cannot be written.
    """
    from deltann.report.html import to_html
    from deltann.report.json import to_json

    folder, why = contents.result.run.folder.parent, None
    try:
        (folder / "report.json").write_text(to_json(contents))
        try:
            (folder / "report.html").write_text(to_html(contents), encoding="utf-8", errors="backslashreplace")
        except Unavailable as error:
            why = str(error)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}; choose another --deltann-report") from error
    return why
