"""The errors that a user can cause or must be told of, each a single line that names its fix."""

from __future__ import annotations


class UsageError(Exception):
    """The request or its input is wrong (exit code 2). The message is one line and says how to mend it."""


class Unsupported(Exception):
    """A backend cannot do this model in this environment; raised by an adapter, recorded as `UNSUPPORTED`."""


class Unavailable(Exception):
    """A framework or device is not on this machine; recorded as `UNAVAILABLE`. The message says how to get it."""


def one_line(text: str, limit: int = 300) -> str:
    """The first non-empty line of `text` (a framework's own message), white space folded, cut to `limit` characters."""
    line = next((" ".join(part.split()) for part in text.splitlines() if part.strip()), "")
    return line if len(line) <= limit else line[: limit - 1] + "…"
