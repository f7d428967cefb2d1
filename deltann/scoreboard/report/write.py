"""The reports as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deltann.errors import UsageError
from deltann.scoreboard.report.html import to_html
from deltann.scoreboard.report.json import to_json
from deltann.scoreboard.report.markdown import to_markdown
from deltann.scoreboard.table import Scoreboard

MAKERS = {"json": to_json, "markdown": to_markdown, "html": to_html}
_SUFFIXES = {"json": ".json", "markdown": ".md", "html": ".html"}


def write_reports(board: Scoreboard, elsewhere: Mapping[str, Path]) -> None:
    """Write `scoreboard.json`, `.md` and `.html` into the folder, and copies to the paths of `elsewhere`, by kind.

    Raises:
        UsageError: a path cannot be written to.
    """
    for kind, make in MAKERS.items():
        text = make(board)
        for path in filter(None, (board.record.folder / f"scoreboard{_SUFFIXES[kind]}", elsewhere.get(kind))):
            part = path.with_name(f"{path.name}.part")
            try:
                part.write_text(text, "utf-8")
                part.replace(path)
            except OSError as error:
                raise UsageError(f"cannot write {path}: {error.strerror}; choose another") from error
