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


def on_github() -> bool:
    """Whether this is a step of GitHub Actions, which obeys what it finds in the log (`::error::…`)."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def echo_screen(text: str) -> None:
    """Write what is for people to read alone: names in it are strangers', and GitHub takes no commands from it.

    https://docs.github.com/actions, "Workflow commands", "Stopping and starting workflow commands".
    """
    if on_github():
        import secrets

        token = secrets.token_hex(16)
        text = f"::stop-commands::{token}\n{text.rstrip()}\n::{token}::\n"
    echo(text)
