"""Writing to standard output, which whoever reads it may close early."""

from __future__ import annotations

import os
import sys

import click


def echo(text: str) -> None:
    """Write `text` as it is. Whoever closed the pipe has seen enough; the exit code is told all the same."""
    try:
        click.echo(text, nl=False)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
