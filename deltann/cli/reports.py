"""The reports that a command leaves beside its screen, and the options that ask for them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from deltann.cli.output import echo

if TYPE_CHECKING:
    from deltann.report.contents import Contents

_FILE = click.Path(path_type=Path)
_OPTIONS = (
    click.option("--json", type=_FILE, metavar="FILE", help="Also write everything to this file ('-': stdout)."),
    click.option(
        "--html", type=_FILE, metavar="FILE", help="Also write one page that needs nothing else, pictures included."
    ),
    click.option(
        "--junit", type=_FILE, metavar="FILE", help="Also write JUnit XML: a test case each environment and output."
    ),
    click.option(
        "--markdown",
        type=_FILE,
        metavar="FILE",
        help="Also write Markdown, for the summary of a CI step (up to 1,000 kB).",
    ),
    click.option(
        "--markdown-short", type=_FILE, metavar="FILE", help="The same in short, for a comment (up to 64 kB)."
    ),
    click.option(
        "--baseline",
        type=_FILE,
        metavar="FILE",
        help="Judge by what this file says was accepted; show what has changed.",
    ),
    click.option("--update-baseline", is_flag=True, help="Accept this run: write it to the --baseline file."),
)
_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Reports:
    """The files asked for; None each where not. The fields are named as the options."""

    json: Path | None = None
    html: Path | None = None
    junit: Path | None = None
    markdown: Path | None = None
    markdown_short: Path | None = None
    baseline: Path | None = None
    update_baseline: bool = False

    @classmethod
    def take(cls, options: dict[str, Any]) -> Reports:
        """Those of a command's `options`, which lose them; refused before anything runs.

        Raises:
            UsageError: a file cannot be written where it should be, what a report is made with is missing, or the
                baseline cannot be read.
        """
        from deltann.errors import Unavailable, UsageError

        reports = cls(**{name: options.pop(name) for name in cls.__dataclass_fields__})
        for name in ("json", "html", "junit", "markdown", "markdown_short", "baseline"):
            file, option = getattr(reports, name), f"--{name.replace('_', '-')}"
            if file is None or (name == "json" and str(file) == "-"):
                continue
            if file.is_dir():
                raise UsageError(f"cannot write {file}: it is a folder; name a file for {option}")
            if not file.absolute().parent.is_dir():
                raise UsageError(f"cannot write {file}: {file.parent} is no folder; choose another {option}")
        if reports.html is not None:
            from deltann.report.html import check

            try:
                check()
            except Unavailable as error:
                raise UsageError(f"--html: {error}") from error
        if reports.update_baseline and reports.baseline is None:
            raise UsageError("--update-baseline says to write the file that --baseline names: add --baseline FILE")
        if reports.baseline is not None and (reports.baseline.exists() or not reports.update_baseline):
            from deltann.baseline.file import read_baseline

            read_baseline(reports.baseline)
        return reports


def report_options(command: _Command) -> _Command:
    """Give a command the options of `Reports`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def show(contents: Contents, reports: Reports) -> int:
    """Print the one screen and write the reports asked for; returns the exit code.

    Raises:
        UsageError: a file cannot be written.
    """
    from deltann.report.json import to_json

    contents = _with_drift(contents, reports)
    to_stdout = reports.json is not None and str(reports.json) == "-"
    echo(to_json(contents) + "\n" if to_stdout else _screen(contents))
    if reports.json is not None and not to_stdout:
        _write(reports.json, to_json(contents), "--json")
    if reports.html is not None:
        from deltann.report.html import to_html

        _write(reports.html, to_html(contents), "--html")
    if reports.junit is not None:
        from deltann.report.junit import to_junit

        _write(reports.junit, to_junit(contents), "--junit")
    if reports.markdown is not None or reports.markdown_short is not None:
        from deltann.report.markdown import to_markdown

        if reports.markdown is not None:
            _write(reports.markdown, to_markdown(contents), "--markdown")
        if reports.markdown_short is not None:
            _write(reports.markdown_short, to_markdown(contents, short=True), "--markdown-short")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from deltann.report.github import annotations

        # To stderr, which GitHub reads too: stdout may be the JSON.
        for line in annotations(contents):
            click.echo(line, err=True)
    return contents.exit_code


def _with_drift(contents: Contents, reports: Reports) -> Contents:
    """The contents with their drift from the baseline, which an update has then accepted."""
    if reports.baseline is None:
        return contents
    from dataclasses import replace

    from deltann.baseline.drift import drift, update

    found = update if reports.update_baseline else drift
    return replace(contents, drift=found(contents, reports.baseline))


def _screen(contents: Contents) -> str:
    from rich.console import Console

    from deltann.report.console import print_result
    from deltann.report.timing import timing_parts

    parts = [] if contents.timing is None else ["", *timing_parts(contents.timing)]
    if contents.drift is not None:
        from deltann.report.baseline import drift_parts

        parts += ["", *drift_parts(contents.drift)]
    console = Console(highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        print_result(contents.result, console)
        for part in parts:
            console.print(part)
    return captured.get()


def _write(file: Path, text: str, option: str) -> None:
    from deltann.errors import UsageError

    try:
        file.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}; choose another {option}") from error
