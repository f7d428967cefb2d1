"""How a run has drifted from its baseline, old → new: to follow what a comparison shows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from deltann.baseline.drift import Standing
from deltann.report.tables import plain_table, plain_text

if TYPE_CHECKING:
    from deltann.baseline.drift import Drift, Row

MOST_ROWS = 20
MOST_OBSOLETE = 10
_STYLES = {
    Standing.WORSE: "bold red",
    Standing.NEW: "yellow",
    Standing.CHANGED: "yellow",
    Standing.BETTER: "green",
    Standing.SAME: "green",
}


def drift_parts(drift: Drift) -> list[RenderableType]:
    """The table of what is not as accepted, worst first, why, what is obsolete, and what that comes to; 80 columns."""
    shown = [row for row in drift.rows if row.standing is not Standing.SAME]
    parts: list[RenderableType] = []
    if shown:
        parts += [_table(shown[:MOST_ROWS]), *_more(len(shown) - MOST_ROWS, "entry", "entries"), *_reasons(shown)]
    if drift.obsolete:
        done = "removed from it" if drift.updated else "--update-baseline removes them"
        parts.append(plain_text(f"The baseline has what this run has not; {done}:"))
        parts += [plain_text(f"· {entry.key.title}: {entry.value}") for entry in drift.obsolete[:MOST_OBSOLETE]]
        parts += _more(len(drift.obsolete) - MOST_OBSOLETE, "entry", "entries")
    return [*parts, _summary(drift)]


def _table(rows: list[Row]) -> Table:
    table = plain_table("baseline", "of", "what", "accepted", "now", wrapped=("of", "what", "accepted", "now"))
    for row in rows:
        standing: RenderableType = Text(row.standing.value, _STYLES[row.standing])
        title: RenderableType = plain_text(row.entry.key.title)
        for what, old, new in row.changes or (("", "-", str(row.entry.value)),):
            table.add_row(standing, title, plain_text(what), plain_text(old), plain_text(new))
            standing = title = ""
    return table


def _reasons(rows: list[Row]) -> list[Text]:
    """Each reason once, of what did not pass."""
    reasons: dict[str, list[Row]] = {}
    for row in rows:
        for reason in row.reasons:
            reasons.setdefault(reason, []).append(row)
    lines = []
    for reason, those in list(reasons.items())[:MOST_ROWS]:
        more = f" and {len(those) - 1} more" if those[1:] else ""
        lines.append(plain_text(f"· {those[0].entry.key.title}{more}: {reason}"))
    return [*lines, *_more(len(reasons) - MOST_ROWS, "reason", "reasons")]


def _summary(drift: Drift) -> Text:
    counts = Counter(row.standing for row in drift.rows)
    told = ", ".join(f"{counts[standing]} {standing}" for standing in Standing if counts[standing]) or "no entries"
    if drift.updated:
        return plain_text(f"Baseline {drift.path} written: {told}.")
    text = plain_text(f"Baseline {drift.path}: {told}.")
    if blind := sum(row.standing is Standing.SAME and bool(row.reasons) for row in drift.rows):
        text.append(f" {blind} of the times could not have told a change as large as the margin.")
    if counts[Standing.NEW]:
        text.append(
            " New entries fail in CI until accepted" if drift.ci else " New entries count as without a baseline"
        )
        text.append(": --update-baseline accepts this run.")
    elif counts[Standing.WORSE]:
        text.append(" --update-baseline accepts this run.")
    return text


def _more(cut: int, one: str, many: str) -> list[Text]:
    return [plain_text(f"… and {cut} more {one if cut == 1 else many}; --json has all")] if cut > 0 else []
