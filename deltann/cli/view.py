"""`deltann view`: stored runs in a browser."""

from __future__ import annotations

from pathlib import Path

import click

from deltann.cli.output import echo


@click.command()
@click.argument("runs", type=click.Path(path_type=Path), default="runs")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, metavar="N",
              help="Where to listen; 0: any port that is free.")  # fmt: skip
def view(runs: Path, port: int) -> None:
    """List the runs in the folder RUNS, and serve their reports to a browser on this machine.

    RUNS is 'runs' unless told, and may be a single run. Ctrl-C ends it.
    """
    from deltann.errors import Unavailable, UsageError
    from deltann.report.html import check
    from deltann.view.server import Server

    try:
        check()
    except Unavailable as error:
        raise UsageError(str(error)) from error
    with Server(runs, port) as server:
        try:
            echo(f"The runs in {runs} are at {server.url} (Ctrl-C ends this)\n")
            server.serve_forever()
        except KeyboardInterrupt:
            echo("\n")
