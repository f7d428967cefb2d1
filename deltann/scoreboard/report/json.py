"""Everything a scoreboard holds, as JSON."""

from __future__ import annotations

import json
from typing import Any

from deltann.scoreboard.row import FINDINGS, Result
from deltann.scoreboard.table import Counts, Scoreboard


def to_json(board: Scoreboard) -> str:
    """One document: the request, counts by environment (in all, by suite, by operator), and a row for each result.

    The whole texts of what engines said are in `results/` of the scoreboard's folder.
    """
    document = {
        **{key: board.document[key] for key in ("schema", "deltann", "onnx", "created", "git", "host", "timeout_s")},
        "selection": board.document["selection"],
        "cases": board.document["cases"],
        "environments": [_environment(board, spec) for spec in board.environments],
        "left_out": [{"backend": name, "reason": reason} for name, reason in board.document["left_out"]],
        "results": [_row(board, spec, case) for spec, rows in board.rows.items() for case in rows],
    }
    return json.dumps(document, indent=1, allow_nan=False)


def _environment(board: Scoreboard, spec: str) -> dict[str, Any]:
    return {
        "spec": spec,
        "version": board.environments[spec],
        "precisions": board.precisions(spec),
        "counts": _counts(board.counts(spec)),
        "suites": {suite: _counts(counts) for suite, counts in board.by_suite(spec).items()},
        "operators": {operator: _counts(counts) for operator, counts in board.by_operator(spec).items()},
    }


def _counts(counts: Counts) -> dict[str, int]:
    return {result.value: counts.get(result, 0) for result in Result}


def _row(board: Scoreboard, spec: str, case: str) -> dict[str, Any]:
    row = board.rows[spec][case]
    told = {key: value for key, value in row.to_json().items() if key != "detail"}
    kept = str(board.finding(spec, case)) if row.result in FINDINGS else None
    return {"environment": spec, **told, "finding": kept}
