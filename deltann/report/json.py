"""Everything a report's contents hold, as JSON: what `deltann.report.schema` describes."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from deltann.comparison.attribution import EXPORT, Blame
from deltann.comparison.evidence import Arbitration
from deltann.comparison.output import Comparison, plain
from deltann.comparison.power import Power
from deltann.frames import cell_rows, flip_rows
from deltann.report.schema import head
from deltann.report.timing_json import timing_json

if TYPE_CHECKING:
    from deltann.report.contents import Contents
    from deltann.result import Result


def to_json(contents: Contents) -> str:
    """`document` as the text of one JSON file."""
    return json.dumps(document(contents), indent=1, allow_nan=False)


def document(contents: Contents) -> dict[str, Any]:
    """The run, the criteria, cells (with their full detail), pairs with every number, verdicts; times and drift.

    Numbers that are not finite, or not known, are null. The exit code is that of the whole.
    """
    result, timing = contents.result, contents.timing
    details = {str(record.cell): record.outcome.detail for record in result.records}
    found = {
        **head("report"),
        "run": str(result.run.folder),
        "missing": list(result.missing),
        "verdict": result.verdict.value,
        "exit_code": contents.exit_code,
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
                "mcnemar": {name: asdict(test) for name, test in pair.mcnemar.items()},
            }
            for pair in result.compared
        ],
        "evidence": _evidence(result),
        "blamed": [_blame(blame) for blame in result.blamed],
        "timing": None if timing is None else timing_json(timing, contents.against),
        "baseline": None if contents.drift is None else contents.drift.to_json(),
        "request": dict(result.run.document),
    }
    return cast(dict[str, Any], plain(found))


def _blame(blame: Blame) -> dict[str, Any]:
    cells = [name for name in blame.names if name != EXPORT]
    return {"cells": cells, "export": EXPORT in blame.names, "sure": blame.sure.value, "reason": blame.reason}


def _evidence(result: Result) -> dict[str, Any]:
    """By role what the arbiter is and the power of the inputs; by cell its soundness and self-noise."""
    weighed = result.weighed
    return {
        # Rates of labels then hold for noise, and for nobody's data.
        "random_inputs": result.run.document["inputs"]["source"].startswith("random"),
        "arbiter": {
            role: {
                "environment": found.environment,
                "samples": found.samples.tolist(),
                "chosen": found.chosen,
                "perturbed": len(found.perturbed),
            }
            if isinstance(found, Arbitration)
            else {"reason": found}
            for role, found in weighed.arbiters.items()
            if found is not None
        },
        "power": {
            role: asdict(found) if isinstance(found, Power) else {"reason": found}
            for role, found in weighed.powers.items()
            if found is not None
        },
        "power_as": {f"{role}, {precision}": asdict(found) for (role, precision), found in weighed.coarse.items()},
        "precision": {str(cell): precision.value for cell, precision in weighed.precisions.items()},
        "soundness": {str(cell): [asdict(entry) for entry in found] for cell, found in weighed.sound.items()},
        "noise": {str(cell): [asdict(entry) for entry in found] for cell, found in weighed.noise.items() if found},
    }


def _numbers(comparison: Comparison) -> dict[str, Any]:
    """The comparison without its flips, which the pair lists with the names of their samples."""
    numbers = comparison.to_json()
    for output in numbers["outputs"]:
        if output["classification"]:
            del output["classification"]["flips"]
    return numbers
