"""Numbers, names and counts as the page and Markdown write them: the same way as the console does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from deltann.comparison.verdict import Verdict
from deltann.report.text import printable

if TYPE_CHECKING:
    from deltann.result import Result

LONGEST = 300
"""Characters of a stranger's text in a table; a name of a million of them would be a page of its own."""
UNKNOWN = "–"
MARKS = {Verdict.AGREE: "=", Verdict.DIFFER: "≠", Verdict.INCONCLUSIVE: "?", Verdict.NOT_COMPARED: "–"}
TONES = {Verdict.AGREE: "good", Verdict.DIFFER: "bad", Verdict.INCONCLUSIVE: "warn", Verdict.NOT_COMPARED: "none"}


def shown(text: object, most: int = LONGEST) -> str:
    """A text of any origin as one line of visible characters, cut in its middle where it is longer than `most`."""
    safe = printable(str(text)[: 8 * most])
    if len(safe) <= most and len(str(text)) <= 8 * most:
        return safe
    return f"{safe[: most * 2 // 3]}…{safe[len(safe) - most // 4 :]}"


def number(value: float | None) -> str:
    """A measured number: whole ones below 100,000 as they are, others with two digits."""
    if value is None:
        return UNKNOWN
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞" if value < 0 else "NaN"
    return str(int(value)) if abs(value) < 1e5 and value == int(value) else f"{value:.1e}"


def three(value: float | None) -> str:
    """A time or a size, to three digits."""
    return UNKNOWN if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def percent(value: float | None, digits: int = 1) -> str:
    """A share, such as 0.0125, as 1.2%."""
    return UNKNOWN if value is None or not math.isfinite(value) else f"{value:.{digits}%}"


def signed(value: float | None) -> str:
    """A slowdown, such as 0.125, as +12.5%."""
    return UNKNOWN if value is None or not math.isfinite(value) else f"{value:+.1%}"


def mebibytes(value: float | None) -> str:
    """Bytes in MiB."""
    return three(None if value is None else value / 2**20)


def count(quantity: int, what: str, several: str | None = None) -> str:
    """`1 sample`, `2 samples`; `several` is the plural of what takes no s."""
    return f"{quantity:,} {what if quantity == 1 else several or what + 's'}"


def score(value: float | None) -> str:
    """A score or a margin: three digits are enough to compare them by."""
    return f"{value:.3g}" if value is not None and (value == 0 or 1e-3 <= abs(value) < 1e4) else number(value)


def block(text: str) -> str:
    """Lines of any origin as lines of visible characters."""
    return "\n".join(printable(line) for line in text.splitlines())


def letter(position: int) -> str:
    """A, B, …, Z, AA, AB, …"""
    return chr(ord("A") + position) if position < 26 else f"{letter(position // 26 - 1)}{letter(position % 26)}"


def letters(result: Result) -> dict[str, str]:
    """The letter of each cell, by which the other reports know it too."""
    return {str(record.cell): letter(position) for position, record in enumerate(result.records)}
