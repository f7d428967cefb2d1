"""Made-up times beside a stored run: what tests of judging times and of showing them start from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from deltann.outcome import Outcome
from deltann.store import Run, open_run, write_json
from deltann.timing.options import Options
from deltann.timing.rounds import Checks, Kind, Measured, Round, save_round
from deltann.timing.stored import SCHEMA, timing_folder

HOST = {"node": "there", "platform": "Linux", "python": "3.11", "cpu": "a processor", "cores": 2}


def write_times(
    run: Run,
    slowdowns: Mapping[str, float],
    *,
    options: Options | None = None,
    rounds: Mapping[Kind, int] | None = None,
    runs: int = 5,
    spread: float = 0.005,
    checks: Mapping[str, Checks] | None = None,
    failed: Mapping[str, Outcome] | None = None,
    calibration: Mapping[str, Any] | None = None,
    complete: bool = True,
    seed: int = 0,
) -> None:
    """Store times of 1 ms · (1 + slowdown) by environment, which scatter by `spread` from process to process.

    `rounds`: how many of each kind; 6 of both where absent. `failed`: environments that failed in the first round.
    """
    rng = np.random.default_rng(seed)
    folder = timing_folder(run)
    number = 0
    for kind, count in (rounds or {"measure": 6, "confirm": 6}).items():
        for _ in range(count):
            measured = [_measured(name, s, runs, spread, rng, checks, failed) for name, s in slowdowns.items()]
            order = [tuple(slowdowns)] * 12
            save_round(folder, number, Round(kind, tuple(measured), tuple(order), 2.0))
            number += 1
    document = {
        "schema": SCHEMA,
        "deltann": "0",
        "created": "2026-01-01T00:00:00+00:00",
        "options": (options or Options()).to_json(),
        "host": HOST,
        "calibration": calibration,
        "complete": complete,
    }
    if complete:
        document["rounds"] = number
        # As it is on disk, where tests change it.
        open_run(run.folder).with_times()
    write_json(folder / "timing.json", document)


def _measured(
    name: str,
    slowdown: float,
    runs: int,
    spread: float,
    rng: np.random.Generator,
    checks: Mapping[str, Checks] | None,
    failed: Mapping[str, Outcome] | None,
) -> Measured:
    if outcome := (failed or {}).get(name):
        return Measured(name, np.empty((0, 0)), outcome=outcome)
    process = 1e-3 * (1 + slowdown) * np.exp(spread * rng.standard_normal())
    seconds = process * np.exp(0.01 * rng.standard_normal((12, runs)))
    found = (checks or {}).get(name, Checks(runs=12 * runs))
    return Measured(name, seconds, 0.5, 0.01, 100 << 20, 4 << 20, found)
