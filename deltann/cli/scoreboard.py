"""`deltann scoreboard`: onnx's own test cases over every installed backend."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deltann.cli.output import echo

if TYPE_CHECKING:
    from deltann.scoreboard.table import Scoreboard


@click.command()
@click.option("--backends", help="Environments, comma-separated: torch,ort-O1. [default: the default of each backend "
              "that is installed]")  # fmt: skip
@click.option("--cases", multiple=True, metavar="GLOB", help="Only cases of such names: 'test_relu*'.")
@click.option("--operator", multiple=True, metavar="NAME", help="Only the node tests of this operator: Conv.")
@click.option("--sample", type=int, metavar="N", help="Only N of them, spread evenly; the same ones each time.")
@click.option("--jobs", type=int, metavar="N", help="Workers at once. [default: as many as cores]")
@click.option("--timeout", type=float, default=60.0, metavar="SECONDS", show_default=True,
              help="What one case may take, the start of a worker included.")  # fmt: skip
@click.option("--memory-limit", metavar="SHARE|SIZE", help="What one worker may take: 80%, 4GiB. [default: 80%]")
@click.option("--out", type=click.Path(path_type=Path),
              help="Folder of the scoreboard, or of one to go on with. [default: runs/DATE-scoreboard]")  # fmt: skip
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Also write the JSON there ('-': stdout).")
@click.option("--markdown", type=click.Path(path_type=Path), help="Also write the Markdown there.")
@click.option("--html", type=click.Path(path_type=Path), help="Also write the HTML there.")
def scoreboard(
    backends: str | None,
    cases: tuple[str, ...],
    operator: tuple[str, ...],
    sample: int | None,
    jobs: int | None,
    timeout: float,
    memory_limit: str | None,
    out: Path | None,
    json_file: Path | None,
    markdown: Path | None,
    html: Path | None,
) -> None:
    """Run the test cases of the installed onnx in each environment, and count what passed.

    The table tells passed, wrong answers, unsupported, crashed, timed out, errors and what was not tested, by
    environment and by operator. Wrong answers, crashes, time-outs and errors are kept with all that repeats them. The
    exit code is 0 once the table is made, whatever it says; 2 on a usage error; 130 when interrupted. A stopped
    scoreboard goes on where the command is repeated with its --out, and computes nothing twice.
    """
    from deltann.errors import UsageError
    from deltann.report.progress import progress
    from deltann.runner.memory import DEFAULT, parse_memory
    from deltann.scoreboard.board import scoreboard as make
    from deltann.scoreboard.execution import Limits
    from deltann.scoreboard.report.json import to_json
    from deltann.scoreboard.report.write import write_reports
    from deltann.scoreboard.selection import Selection

    if not 0 < timeout < float("inf"):
        raise UsageError(f"--timeout {timeout:g}: give seconds above 0")
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs {jobs}: give a whole number of at least 1")
    to_stdout = json_file is not None and str(json_file) == "-"
    given = {"json": None if to_stdout else json_file, "markdown": markdown, "html": html}
    elsewhere = {kind: path for kind, path in given.items() if path is not None}
    for kind, path in elsewhere.items():
        if not path.absolute().parent.is_dir():
            raise UsageError(f"cannot write {path}: {path.parent} is no folder; choose another --{kind}")
    limits = Limits(timeout, parse_memory(memory_limit or DEFAULT), jobs or len(os.sched_getaffinity(0)))
    with progress() as listener:
        board = make(backends, Selection(cases, operator, sample), limits, out, listener)
    write_reports(board, elsewhere)
    echo(to_json(board) + "\n" if to_stdout else _screen(board))


def _screen(board: Scoreboard) -> str:
    from rich.console import Console

    from deltann.scoreboard.report.console import print_board

    console = Console(highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        print_board(board, console)
    return captured.get()
