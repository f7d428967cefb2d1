"""`deltann report`: a stored run, shown again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from deltann.cli.reports import Reports, report_options, show


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@report_options
def report(run: Path, **options: Any) -> None:
    """Show the stored RUN, judged as it was asked to be; nothing is executed. Exit codes are those of compare.

    Of a run that did not end, or is damaged, what there is of it; what is missing is said, and it agrees with nothing.
    """
    from deltann.report.contents import load_contents

    reports = Reports.take(options)
    sys.exit(show(load_contents(run), reports))
