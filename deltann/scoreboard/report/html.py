"""A scoreboard as one HTML file that needs no other."""

from __future__ import annotations

from importlib.resources import files

from deltann.report.text import printable
from deltann.scoreboard.cases import IMPORT_CHECKS
from deltann.scoreboard.report.words import LEGEND, MEANINGS, grouped, passed_share, share
from deltann.scoreboard.row import FINDINGS, Result, Row
from deltann.scoreboard.table import Counts, Scoreboard, tested


def to_html(board: Scoreboard) -> str:
    """The page. All texts are escaped by the template engine; findings link to their folders beside the page."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["printable"] = printable
    template = environment.from_string(
        files("deltann.scoreboard").joinpath("templates/scoreboard.html").read_text("utf-8")
    )
    specs = list(board.environments)
    return template.render(
        board=board,
        results=list(Result),
        findings=FINDINGS,
        meanings=MEANINGS,
        legend=LEGEND,
        import_checks=IMPORT_CHECKS,
        counts={spec: board.counts(spec) for spec in specs},
        suites={spec: board.by_suite(spec) for spec in specs},
        operators={spec: board.by_operator(spec) for spec in specs},
        groups={spec: grouped(_unpassed(board, spec)) for spec in specs},
        share=share,
        passed_share=passed_share,
        grade=_grade,
    )


def _unpassed(board: Scoreboard, spec: str) -> list[Row]:
    given = {case.name for case in board.record.cases if not case.untested}
    return [row for row in board.rows[spec].values() if row.case in given and row.result is not Result.PASSED]


def _grade(counts: Counts) -> str:
    """The colour of a cell: `bad` where there is a finding, `part` where something is unsupported, `good`, `none`."""
    if not tested(counts):
        return "none"
    if any(counts.get(result) for result in FINDINGS):
        return "bad"
    return "part" if counts.get(Result.UNSUPPORTED) else "good"
