"""What the reports of a scoreboard say alike."""

from __future__ import annotations

from collections.abc import Iterable

from deltann.scoreboard.row import FINDINGS, Result, Row
from deltann.scoreboard.table import Counts, tested

MARKS = {
    Result.WRONG: "w",
    Result.CRASHED: "c",
    Result.TIMED_OUT: "t",
    Result.ERROR: "e",
    Result.UNSUPPORTED: "u",
}
"""How an operator's cell tells what did not pass."""
LEGEND = "passed of tested; " + ", ".join(f"{mark}: {result}" for result, mark in MARKS.items())

MEANINGS = {
    Result.PASSED: "the expected outputs, within the tolerances of the case (onnx's own: rtol 0.001, atol 1e-7)",
    Result.WRONG: "outputs of other values, types, shapes or names",
    Result.UNSUPPORTED: "the adapter or the engine says that it cannot",
    Result.CRASHED: "the process died, or ran out of memory",
    Result.TIMED_OUT: "no end within the time that a case has",
    Result.ERROR: "an exception that is no such refusal",
    Result.UNTESTED: "not given to the engine, so neither passed nor failed; the reasons are listed",
}


def share(counts: Counts) -> str:
    """`12/14`, and what the others were: `10/14 1w 3u`; a dash where nothing was tested."""
    if not tested(counts):
        return "–"
    marks = [f"{counts[result]}{mark}" for result, mark in MARKS.items() if counts.get(result)]
    return " ".join([f"{counts.get(Result.PASSED, 0)}/{tested(counts)}", *marks])


def passed_share(counts: Counts) -> str:
    """`97.1 %` of those tested, rounded down, so that 100 % means all."""
    if not tested(counts):
        return "–"
    return f"{counts.get(Result.PASSED, 0) * 1000 // tested(counts) / 10:.1f} %"


def grouped(rows: Iterable[Row]) -> list[tuple[Result, str, list[str]]]:
    """(result, reason, the cases) of rows that are alike in the first two, the most frequent first within a result."""
    groups: dict[tuple[Result, str], list[str]] = {}
    for row in rows:
        groups.setdefault((row.result, row.reason), []).append(row.case)
    order = [*FINDINGS, Result.UNSUPPORTED, Result.UNTESTED]
    return sorted(
        ((result, reason, cases) for (result, reason), cases in groups.items()),
        key=lambda group: (order.index(group[0]), -len(group[2])),
    )
