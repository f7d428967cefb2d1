"""A scoreboard as a page for a repository."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from deltann.report.text import printable
from deltann.scoreboard.cases import IMPORT_CHECKS
from deltann.scoreboard.report.words import LEGEND, MEANINGS, grouped, passed_share, share
from deltann.scoreboard.row import Result
from deltann.scoreboard.table import Scoreboard

MOST_NAMES = 6
_LONGEST = 200
_MEANING = set("&<>\\`*_[]|~@#")
"""What Markdown or HTML might take for something else than itself."""


def to_markdown(board: Scoreboard) -> str:
    """The page; it names no machine and no folder, so that two runs of the same versions give the same page."""
    lines = [*_heading(board), *_summary(board), *_suites(board), *_operators(board)]
    for spec in board.environments:
        lines += _failures(board, spec)
    return "\n".join([*lines, *_untested(board)]) + "\n"


def _heading(board: Scoreboard) -> list[str]:
    selection = board.document["selection"]
    part = any(selection[key] for key in ("globs", "operators", "sample"))
    return [
        "# Scoreboard",
        "",
        f"The test cases of onnx {board.document['onnx']} ({'a part of them: ' * part}{len(board.record.cases)}), "
        "each run in every environment by `deltann scoreboard`. Made by `make scoreboard`; do not edit.",
        "",
        *(f"- **{result}**: {meaning}" for result, meaning in MEANINGS.items()),
        "",
    ]


def _summary(board: Scoreboard) -> list[str]:
    rows = []
    for spec, version in board.environments.items():
        counts = board.counts(spec)
        computed = ", ".join(board.precisions(spec)[:3]) or "–"
        numbers = [str(counts.get(result, 0)) for result in Result]
        rows.append([_code(spec), _safe(version), _safe(computed), *numbers, passed_share(counts)])
    head = ["environment", "version", "computes mostly in", *Result, "passed of tested"]
    left_out = [f"- left out: {_safe(name)}, {_safe(reason)}" for name, reason in board.document["left_out"]]
    return [*_table(head, rows), "", *left_out, *([""] if left_out else [])]


def _suites(board: Scoreboard) -> list[str]:
    found = {spec: board.by_suite(spec) for spec in board.environments}
    sizes = {suite: sum(case.suite == suite for case in board.record.cases) for suite in board.suites}
    rows = [
        [f"{suite} ({sizes[suite]})", *(share(found[spec][suite]) for spec in board.environments)]
        for suite in board.suites
    ]
    note = [
        f"The models of `{IMPORT_CHECKS}` have constant weights, so their outputs hardly depend on what is computed: "
        "passing them says that a network of that kind can be imported and run, and nothing of its answers.",
        "",
    ]
    return [
        "## By suite", "", f"{LEGEND}.", "", *_table(["suite", *map(_code, board.environments)], rows), "",
        *(note if IMPORT_CHECKS in board.suites else []),
    ]  # fmt: skip


def _operators(board: Scoreboard) -> list[str]:
    if not board.operators:
        return []
    found = {spec: board.by_operator(spec) for spec in board.environments}
    rows = [
        [_safe(operator), *(share(found[spec][operator]) for spec in board.environments)]
        for operator in board.operators
    ]
    return [
        "## By operator", "",
        "The node tests of each operator, those of the function body that defines some operators among them. "
        f"{LEGEND}; –: none could be tested.", "",
        *_table(["operator", *map(_code, board.environments)], rows), "",
    ]  # fmt: skip


def _failures(board: Scoreboard, spec: str) -> list[str]:
    rows = [row for row in board.rows[spec].values() if row.result is not Result.PASSED]
    own = {case.name for case in board.record.cases if not case.untested}
    groups = grouped(row for row in rows if row.case in own)
    if not groups:
        return [f"## {_safe(spec)}", "", "All that was tested passed.", ""]
    lines = [f"## {_safe(spec)}", ""]
    for result in Result:
        chosen = [(reason, cases) for of, reason, cases in groups if of is result]
        if chosen:
            lines += [f"{str(result).capitalize()}:", ""]
            lines += [f"- {_safe(reason) or 'no reason given'} ({_names(cases)})" for reason, cases in chosen]
            lines.append("")
    return lines


def _names(cases: Sequence[str]) -> str:
    named = ", ".join(map(_code, cases[:MOST_NAMES]))
    return named + (f" and {len(cases) - MOST_NAMES} more" if len(cases) > MOST_NAMES else "")


def _untested(board: Scoreboard) -> list[str]:
    reasons = board.untested()
    if not reasons:
        return []
    lines = [f"- {count}: {_safe(reason)}" for reason, count in reasons.most_common()]
    return ["## Not tested anywhere", "", *lines]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _code(name: str) -> str:
    """A name: of a case, or a spec, whose options may hold what ends a code span or a table's cell."""
    return "`" + printable(name).replace("`", "'").replace("|", "\\|") + "`"


def _safe(text: str) -> str:
    """An engine's own words, cut, none of it read as Markdown or HTML."""
    text = printable(text)
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return "".join(f"\\{char}" if char in _MEANING else char for char in text)
