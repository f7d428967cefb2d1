"""`deltann report`: a stored run, shown again."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="Also write everything to this file ('-': stdout)."
)
@click.pass_context
def report(ctx: click.Context, run: Path, json_file: Path | None) -> None:
    """Show the stored RUN, judged as it was asked to be; nothing is executed. Exit codes are those of compare."""
    import deltann
    from deltann.cli.compare import show

    ctx.exit(show(deltann.load(run), json_file))
