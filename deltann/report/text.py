"""Texts that come from strangers (names of files, samples and outputs; a framework's words), made safe to show."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` with every character that a terminal would obey, or could not show, as its Python escape.

    Newlines, escape sequences, bidirectional overrides and the bytes of undecodable file names are among them.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text
    )
