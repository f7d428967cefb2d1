"""One screen: how each environment did, where operators fail, and where the findings are."""

from __future__ import annotations

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from deltann.report.tables import plain_table, plain_text
from deltann.report.words import letter
from deltann.scoreboard.cases import IMPORT_CHECKS
from deltann.scoreboard.report.words import passed_share
from deltann.scoreboard.row import FINDINGS, Result
from deltann.scoreboard.table import Scoreboard, tested

MOST_OPERATORS = 15
MOST_FINDINGS = 8
_HEADS = {
    Result.PASSED: "pass",
    Result.WRONG: "wrong",
    Result.UNSUPPORTED: "unsup.",
    Result.CRASHED: "crash",
    Result.TIMED_OUT: "time",
    Result.ERROR: "error",
    Result.UNTESTED: "untested",
}
_WIDE = 72
"""Columns that the table of counts needs; on a narrower terminal each environment is a line of words."""


def print_board(board: Scoreboard, console: Console) -> None:
    """Print the screen."""
    console.print(screen(board, console.width))


def screen(board: Scoreboard, width: int = 80) -> RenderableType:
    """The screen, `width` columns wide, as something rich can print."""
    letters = {spec: letter(number) for number, spec in enumerate(board.environments)}
    counts = _table(board, letters) if width >= _WIDE else _lines(board, letters)
    parts: list[RenderableType] = [
        Text(f"{len(board.record.cases)} test cases of onnx {board.document['onnx']}", "bold"),
        "",
        counts,
        *_left_out(board),
        *_operators(board, letters, width),
        *_findings(board, letters),
        "",
        *_remarks(board),
    ]
    return Group(*(plain_text(part) if isinstance(part, str) else part for part in parts))


def _table(board: Scoreboard, letters: dict[str, str]) -> Table:
    table = _plain("", "environment", "version", *_HEADS.values())
    for spec, version in board.environments.items():
        counts = board.counts(spec)
        numbers = [Text(str(counts.get(result, 0)), _style(result, counts.get(result, 0))) for result in _HEADS]
        table.add_row(letters[spec], plain_text(spec), plain_text(version), *numbers)
    return table


def _lines(board: Scoreboard, letters: dict[str, str]) -> Group:
    lines = []
    for spec, version in board.environments.items():
        counts = board.counts(spec)
        words = ", ".join(f"{counts[result]} {result}" for result in Result if counts.get(result))
        lines.append(plain_text(f"{letters[spec]} {spec} {version}: {words}"))
    return Group(*lines)


def _left_out(board: Scoreboard) -> list[RenderableType]:
    return [f"left out: {name} {reason}" for name, reason in board.document["left_out"]]


def _operators(board: Scoreboard, letters: dict[str, str], width: int) -> list[RenderableType]:
    """Operators that some environment fails, those that fail most first; what only is unsupported does not count."""
    found = {spec: board.by_operator(spec) for spec in letters}
    failures = {
        operator: sum(found[spec][operator].get(result, 0) for spec in letters for result in FINDINGS)
        for operator in board.operators
    }
    failing = sorted((operator for operator in failures if failures[operator]), key=lambda name: -failures[name])
    if not failing:
        return []
    shown = failing[:MOST_OPERATORS]
    cells = {
        spec: [f"{sum(found[spec][name].get(r, 0) for r in FINDINGS)}/{tested(found[spec][name])}" for name in shown]
        for spec in letters
    }
    room = width - max(map(cell_len, shown))
    columns = []
    for spec in letters:
        room -= max(map(len, cells[spec])) + 1
        if room < 0:
            break
        columns.append(spec)
    table = _plain("", *(letters[spec] for spec in columns))
    for number, operator in enumerate(shown):
        table.add_row(plain_text(operator), *(plain_text(cells[spec][number]) for spec in columns))
    cut = [f"… {len(failing) - len(shown)} more operators"] if len(failing) > len(shown) else []
    cut += [f"… {len(letters) - len(columns)} more environments"] if len(columns) < len(letters) else []
    return ["", "Failed of tested, where an operator fails (unsupported is no failure):", table, *cut]


def _findings(board: Scoreboard, letters: dict[str, str]) -> list[RenderableType]:
    rows = [(spec, row) for spec in letters for row in board.findings(spec)]
    if not rows:
        return []
    lines = [f"{letters[spec]} {row.case}: {row.result}; {row.reason}" for spec, row in rows[:MOST_FINDINGS]]
    cut = [f"… {len(rows) - MOST_FINDINGS} more"] if len(rows) > MOST_FINDINGS else []
    return ["", f"Findings, kept in {board.record.folder / 'findings'}:", *lines, *cut]


def _remarks(board: Scoreboard) -> list[RenderableType]:
    lines: list[RenderableType] = [
        ", ".join(f"{spec}: {passed_share(board.counts(spec))}" for spec in board.environments)
        + " of the tested cases passed"
    ]
    checks = sum(case.suite == IMPORT_CHECKS for case in board.record.cases)
    if checks:
        lines.append(f"{checks} of the cases ({IMPORT_CHECKS}) have constant weights: they check importing alone")
    lines.append(f"All of it: {board.record.folder / 'scoreboard.html'}, .md and .json")
    return lines


def _style(result: Result, count: int) -> str:
    return "bold red" if count and result in FINDINGS else "" if count else "dim"


def _plain(*columns: str) -> Table:
    told = ("", "environment", "version")
    return plain_table(*columns, right=[column for column in columns if column not in told], wrapped=told)
