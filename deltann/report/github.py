"""Findings as annotations of a GitHub Actions step.

Workflow commands, a line each: `::error title=TITLE::TEXT` (https://docs.github.com/actions, "Workflow commands"). `%`,
carriage return and newline are percent-encoded; in a property `:` and `,` too, which end it.
"""

# Without `from __future__ import annotations`, whose name the function here has.
from typing import TYPE_CHECKING

from deltann.findings import Finding, Level, command, findings
from deltann.report.text import printable

if TYPE_CHECKING:
    from deltann.report.contents import Contents

MOST = 10
"""GitHub shows so many of a level for a step, and drops the rest without a word."""
LONGEST_TITLE = 200
LONGEST_TEXT = 4_000


def annotations(contents: "Contents") -> list[str]:
    """A workflow command a finding, most serious first; of a level `MOST` at most, the last counting what is left."""
    lines = []
    found = findings(contents)
    for level in Level:
        those = [finding for finding in found if finding.level is level]
        shown = those if len(those) <= MOST else those[: MOST - 1]
        lines += [_command(finding, command(contents)) for finding in shown]
        if rest := len(those) - len(shown):
            text = f"GitHub shows {MOST} of a kind. All of them: {command(contents)}"
            lines.append(_command(Finding(level, f"deltann: {rest} more of this kind", text), ""))
    return lines


def _command(finding: Finding, more: str) -> str:
    text = "\n".join(_cut(printable(line), LONGEST_TEXT) for line in finding.text.splitlines())
    text = _cut(text, LONGEST_TEXT) + (f"\nMore: {printable(more)}" if more else "")
    title = _cut(printable(finding.title), LONGEST_TITLE)
    return f"::{finding.level} title={_property(title)}::{_data(text)}"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
