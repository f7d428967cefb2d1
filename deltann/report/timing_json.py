"""The times of a run as plain data, every number of the screen and the raw rounds' order included."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deltann.timing.against import Against
    from deltann.timing.calibration import Calibration
    from deltann.timing.estimate import Estimate
    from deltann.timing.stored import CellTime, PairTime, Timing


def timing_json(timing: Timing, against: Against | None = None) -> dict[str, Any]:
    """Numbers that are not finite, or not known, are null."""
    return {
        "verdict": timing.verdict.value,
        "exit_code": timing.exit_code,
        "formula": "slowdown = time_candidate / time_reference - 1",
        "options": timing.options.to_json(),
        "host": dict(timing.host),
        "created": timing.created,
        "complete": timing.complete,
        "took_s": timing.took_s,
        "calibration": None if timing.calibration is None else calibration_json(timing.calibration),
        "cells": [_cell(timing, cell) for cell in timing.cells],
        "pairs": [_pair(pair) for pair in timing.pairs],
        "rounds": [
            {"kind": r.kind, "took_s": r.took_s, "order": [list(turn) for turn in r.order]} for r in timing.rounds
        ],
        "against": None if against is None else _against(against),
    }


def calibration_json(calibration: Calibration) -> dict[str, Any]:
    """What the machine's A/A experiments say."""
    return {key: _finite(value) for key, value in calibration.to_json().items()}


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
        "adjusted_p": _finite(pair.adjusted),
        "estimate": _estimate(pair.estimate),
        "confirmation": _estimate(pair.confirmation),
    }


def _estimate(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else {key: _finite(value) for key, value in asdict(estimate).items()}


def _against(against: Against) -> dict[str, Any]:
    return {
        "run": str(against.other.run.folder),
        "host": dict(against.other.host),
        "created": against.other.created,
        "reference": against.reference,
        "environments": [{**asdict(row), "change": row.change} for row in against.rows],
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
