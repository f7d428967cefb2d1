"""Pieces of a GitHub-flavoured Markdown page: what strangers may have named, tables, and a page of limited size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from deltann.report.text import printable

LONGEST = 300
"""Characters of a stranger's text; a name of a million of them would be a page of its own."""
LEAST = 8_000
"""Bytes below which no page is made: room for its heading, for what is cut and for how to see it."""
_NOTE = 600


@dataclass(frozen=True)
class Block:
    """A part of the page. `title` is what it is called where it is cut; `head` is shown where a row of it is."""

    title: str
    head: tuple[str, ...]
    rows: tuple[str, ...]


def code(text: object, longest: int = LONGEST) -> str:
    """A stranger's text as a code span, in which GitHub looks for no markup, link, mention, issue, emoji or formula.

    A backslash before `@` or `#` would not keep GitHub from linking them. A backtick or `|`, which would end the span
    or the cell of a table, is written as Python's escape of it.
    """
    shown = printable(str(text)[: 4 * longest])
    shown = shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
    shown = shown.replace("`", r"\x60").replace("|", r"\x7c").strip()
    return f"`{shown}`" if shown else "–"


def paragraph(title: str, *lines: str) -> Block:
    """Lines that stand alone."""
    return Block(title, (), tuple(part for line in lines for part in ("", line))[1:])


def items(title: str, lines: Iterable[str]) -> Block:
    """A heading and a list."""
    return Block(title, (f"### {title}", ""), tuple(f"- {line}" for line in lines))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *above: str) -> Block:
    """A heading, paragraphs above, and a table, whose cells are made by `code` or hold no `|`."""
    head = [f"### {title}", "", *(part for line in above for part in (line, ""))]
    head += [_row(columns), _row(["---"] * len(columns))]
    return Block(title, tuple(head), tuple(map(_row, rows)))


def page(blocks: Sequence[Block], foot: str, limit: int) -> str:
    """The blocks that have rows, then `foot`, in `limit` bytes of UTF-8 at most: cut at a whole row, saying where.

    Raises:
        ValueError: a limit below `LEAST`.
    """
    if limit < LEAST:
        raise ValueError(f"a limit of {limit} bytes is too small for a page: give {LEAST} at least")
    blocks = [block for block in blocks if block.rows]
    whole = [line for block in blocks for line in (*block.head, *block.rows, "")]
    if _size([*whole, foot]) <= limit:
        return _text([*whole, foot])
    room = limit - _size([foot]) - _NOTE
    lines: list[str] = []
    for position, block in enumerate(blocks):
        kept = _kept(block, room - _size(lines))
        if kept:
            lines += [*block.head, *block.rows[:kept], ""]
        if kept < len(block.rows):
            rest = [other.title for other in blocks[position + 1 :]]
            left = f"{len(block.rows) - kept} of {len(block.rows)} lines of “{block.title}”"
            more = f", and all of: {', '.join(rest)}" if rest else ""
            lines += [f"**Cut here**, at {limit:,} bytes. Left out: {left}{more}.", ""]
            break
    return _text([*lines, foot])


def _kept(block: Block, room: int) -> int:
    """How many rows fit."""
    used = _size([*block.head, ""])
    for number, row in enumerate(block.rows):
        used += _size([row])
        if used > room:
            return number
    return len(block.rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _size(lines: Sequence[str]) -> int:
    return len(_text(lines).encode())
