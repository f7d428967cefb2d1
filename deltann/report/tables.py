"""Tables and texts of the console: plain columns, and nothing of a stranger's that a terminal would obey."""

from __future__ import annotations

from collections.abc import Collection

from rich.table import Table
from rich.text import Text

from deltann.report.text import printable


def plain_text(of: str, style: str = "") -> Text:
    """A text of any origin: never read as markup, nothing in it reaches the terminal as a command."""
    return Text(printable(of), style, overflow="fold")


def plain_table(*columns: str, right: Collection[str] = (), wrapped: Collection[str] = ()) -> Table:
    """A table without lines; the columns in `right` are numbers, those in `wrapped` may take several lines."""
    made = Table(box=None, pad_edge=False, header_style="bold", collapse_padding=True)
    for column in columns:
        folded = column in wrapped
        made.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=not folded,
            overflow="fold" if folded else "ellipsis",
        )
    return made
