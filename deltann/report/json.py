"""Everything a result holds, as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from deltann.comparison.output import Comparison, plain
from deltann.frames import cell_rows, flip_rows

if TYPE_CHECKING:
    from deltann.result import Result


def to_json(result: Result) -> str:
    """One JSON document: the run, the criteria, cells (with their full detail), pairs with every number, verdicts."""
    details = {str(record.cell): record.outcome.detail for record in result.records}
    document = {
        "run": str(result.run.folder),
        "verdict": result.verdict.value,
        "exit_code": result.exit_code,
        "criteria": result.criteria.to_json(),
        "cells": [{**row, "detail": details[row["cell"]]} for row in cell_rows(result)],
        "identical_artifacts": [[str(cell) for cell in group] for group in result.identical],
        "pairs": [
            {
                "candidate": str(pair.candidate),
                "reference": str(pair.reference),
                "verdict": pair.judgement.verdict.value,
                "judged": pair.judged,
                "reasons": list(pair.judgement.reasons),
                "comparison": _numbers(pair.comparison) if pair.comparison else None,
                "flips": flip_rows(result, pair),
            }
            for pair in result.compared
        ],
        "request": dict(result.run.document),
    }
    return json.dumps(plain(document), indent=1, allow_nan=False)


def _numbers(comparison: Comparison) -> dict[str, Any]:
    """The comparison without its flips, which the pair lists with the names of their samples."""
    numbers = comparison.to_json()
    for output in numbers["outputs"]:
        if output["classification"]:
            del output["classification"]["flips"]
    return numbers
