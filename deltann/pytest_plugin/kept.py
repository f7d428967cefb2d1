"""Where a test's run is kept, and the reports beside it."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

import pytest

from deltann.errors import Unavailable, UsageError
from deltann.report.contents import Contents

_LONGEST_NAME = 80


def folder_for(request: pytest.FixtureRequest, number: int) -> Path:
    """A folder, empty or not there yet, for the `number`-th comparison of a test: in --deltann-report, or pytest's own.

    Raises:
        UsageError: what an earlier session left there cannot be taken away.
    """
    chosen = request.config.getoption("--deltann-report")
    if chosen is None:
        # Not the test's own tmp_path: that goes with a test that passes, if the project says so.
        factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
        return factory.mktemp("deltann") / "run"
    name = folder_name(request.node.nodeid) + (f"-{number}" if number > 1 else "")
    folder = Path(request.config.invocation_params.dir, chosen, name)
    try:
        if (folder / "run" / "run.json").exists():  # of an earlier session; anything else is not ours to delete
            shutil.rmtree(folder / "run")
        for report in ("report.json", "report.html"):
            (folder / report).unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}; choose another --deltann-report") from error
    return folder / "run"


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
