"""The reports that a command leaves beside its screen, and the options that ask for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from deltann.cli.baseline import beside, check_models
from deltann.cli.output import echo, echo_screen, on_github

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
_FILES = ("json", "html", "junit", "markdown", "markdown_short", "baseline")
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
            UsageError: a file cannot be written where it should be, or is asked for twice, what a report is made with
                is missing, or the baseline cannot be read.
        """
        from deltann.errors import Unavailable, UsageError

        reports = cls(**{name: options.pop(name) for name in cls.__dataclass_fields__})
        files = reports._files
        for option, file in files.items():
            if file.is_dir():
                raise UsageError(f"cannot write {file}: it is a folder; name a file for {option}")
            if not file.absolute().parent.is_dir():
                raise UsageError(f"cannot write {file}: {file.parent} is no folder; choose another {option}")
            same = [other for other in files if files[other].resolve() == file.resolve()]
            if len(same) > 1 and (file.is_file() or not file.exists()):  # a device takes any number
                raise UsageError(f"{' and '.join(same)} name the same file, {file}: choose another for one of them")
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

    @property
    def _files(self) -> Mapping[str, Path]:
        """By option the files that will be written, or read."""
        named = {f"--{name.replace('_', '-')}": getattr(self, name) for name in _FILES}
        stdout = ("--json", Path("-"))
        return {option: file for option, file in named.items() if file is not None and (option, file) != stdout}

    def check_models(self, *models: Path) -> None:
        """Raise UsageError, before `models` run, where the baseline is of others of their names."""
        if self.baseline is not None and not self.update_baseline:
            check_models(self.baseline, models)


def report_options(command: _Command) -> _Command:
    """Give a command the options of `Reports`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def show(contents: Contents, reports: Reports) -> int:
    """Print the one screen and write the reports asked for, the baseline last; returns the exit code.

    Raises:
        UsageError: a file cannot be written; or, once all else is shown and written, the baseline is none for this run.
    """
    with beside(contents, reports.baseline, reports.update_baseline) as contents:
        _show(contents, reports)
    return contents.exit_code


def _show(contents: Contents, reports: Reports) -> None:
    from deltann.report.json import to_json

    to_stdout = reports.json is not None and str(reports.json) == "-"
    if to_stdout:
        echo(to_json(contents) + "\n")
    else:
        echo_screen(_screen(contents))
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
    if on_github():
        from deltann.report.github import annotations

        # After the screen in the same stream, since GitHub takes none while that is shown, and reads two streams in no
        # certain order; to stderr, which it reads too, where stdout is the JSON.
        for line in annotations(contents):
            click.echo(line, err=to_stdout)


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
