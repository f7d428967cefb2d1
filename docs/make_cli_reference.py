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


def _commands(name: str, command: click.Command, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    width = {"max_content_width": 100, "terminal_width": 100}
    context = click.Context(command, parent=parent, info_name=name, **width, **command.context_settings)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for child_name, child in command.commands.items():
            yield from _commands(child_name, child, context)


if __name__ == "__main__":
    TARGET.write_text(render())
