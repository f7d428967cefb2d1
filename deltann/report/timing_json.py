"""The times of a run as plain data, every number of the screen and the raw rounds' order included."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from deltann.comparison.output import plain
from deltann.report.schema import head

if TYPE_CHECKING:
    from deltann.timing.against import Against
    from deltann.timing.calibration import Calibration
    from deltann.timing.stored import CellTime, PairTime, Timing


def timing_json(timing: Timing, against: Against | None = None) -> dict[str, Any]:
    """Numbers that are not finite, or not known, are null."""
    found = {
        "verdict": timing.verdict.value,
        "exit_code": timing.exit_code,
        "formula": "slowdown = time_candidate / time_reference - 1",
        "options": timing.options.to_json(),
        "host": dict(timing.host),
        "created": timing.created,
        "complete": timing.complete,
        "took_s": timing.took_s,
        "calibration": None if timing.calibration is None else timing.calibration.to_json(),
        "calibrated_by": None if timing.calibration is None else dict(timing.calibrated_by),
        "cells": [_cell(timing, cell) for cell in timing.cells],
        "pairs": [_pair(pair) for pair in timing.pairs],
        "rounds": [
            {"kind": r.kind, "took_s": r.took_s, "order": [list(turn) for turn in r.order]} for r in timing.rounds
        ],
        "against": None if against is None else _against(against),
    }
    return cast(dict[str, Any], plain(found))


def calibration_json(calibration: Calibration, environment: str) -> dict[str, Any]:
    """What the A/A experiments of an environment say of the machine: a document by itself."""
    found = {**head("calibration"), "environment": environment, "calibration": calibration.to_json()}
    return cast(dict[str, Any], plain(found))


def _cell(timing: Timing, cell: CellTime) -> dict[str, Any]:
    data = {**asdict(cell), "invalid": cell.invalid}
    symptoms = [pair.symptom for pair in timing.pairs if pair.candidate == cell.name and pair.symptom]
    data["symptom"] = symptoms[0].value if symptoms else cell.outcome.symptom
    return data


def _pair(pair: PairTime) -> dict[str, Any]:
    return {
        "candidate": pair.candidate,
        "reference": pair.reference,
        "verdict": pair.verdict.value,
        "symptom": pair.symptom and pair.symptom.value,
        "reasons": list(pair.reasons),
        "outputs": pair.outputs.value,
        "adjusted_p": pair.adjusted,
        "estimate": None if pair.estimate is None else asdict(pair.estimate),
        "confirmation": None if pair.confirmation is None else asdict(pair.confirmation),
    }


def _against(against: Against) -> dict[str, Any]:
    return {
        "run": str(against.other.run.folder),
        "host": dict(against.other.host),
        "created": against.other.created,
        "reference": against.reference,
        "environments": [{**asdict(row), "change": row.change} for row in against.rows],
    }
