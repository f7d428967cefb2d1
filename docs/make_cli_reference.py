"""Write docs/cli.md from the commands' own help: `python docs/make_cli_reference.py` (a test keeps it current)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from deltann.cli import main

TARGET = Path(__file__).with_name("cli.md")


def render() -> str:
    """The reference, as Markdown."""
    head = (
        "# Command-line reference\n\nMade by `python docs/make_cli_reference.py`; change the commands, not this page.\n"
    )
    return head + "".join(f"\n## {path}\n\n```text\n{text}\n```\n" for path, text in _commands("deltann", main))


def _commands(path: str, command: click.Command) -> Iterator[tuple[str, str]]:
    context = click.Context(command, info_name=path, max_content_width=100, terminal_width=100)
    yield path, command.get_help(context)
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from _commands(f"{path} {name}", child)


if __name__ == "__main__":
    TARGET.write_text(render())
