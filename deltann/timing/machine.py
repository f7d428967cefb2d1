"""The machine against itself (A/A), and what that said, kept by host: how small a slowdown can be told here."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from deltann import registry
from deltann.binding import bind, parse_shapes
from deltann.cache import cache_dir
from deltann.dataset import materialise, parse_source
from deltann.environment import Environment
from deltann.errors import UsageError
from deltann.host import host
from deltann.model import load_model
from deltann.outcome import Status
from deltann.preprocess import load_pipeline
from deltann.runner.cell import Limits, Work, begin, samples_needed
from deltann.runner.cells import Listener
from deltann.store import Cell, write_json
from deltann.timing.calibration import FEWEST_EXPERIMENTS, MACHINE, Calibration, calibrate
from deltann.timing.estimate import runs_needed
from deltann.timing.neighbours import pinned
from deltann.timing.options import Options
from deltann.timing.pairs import series_of
from deltann.timing.protocol import Contender, measure_round
from deltann.timing.rounds import Round, failures
from deltann.timing.series import FEWEST_ROUNDS, Series

INPUTS = "random:16"
CALIBRATING_S = 300.0
"""The budget of a calibration where none is given."""


def material(
    model: str | Path,
    inputs: str = INPUTS,
    shape: Sequence[str] = (),
    preprocess: str | None = None,
    limit: int | None = None,
    batch_size: int = 1,
) -> Work:
    """What an environment is timed with, as `deltann.compare` would make it of the same request.

    Raises:
        UsageError: the model or the inputs cannot be read, or do not fit.
    """
    binding = bind(load_model(model), parse_shapes(shape), batch_size)
    pipeline = None if preprocess is None else load_pipeline(preprocess)
    made = materialise(parse_source(inputs), binding, pipeline, cache_dir(), limit=limit)
    return Work(binding.model, made.arrays, len(made.names), binding.rows, binding.batched)


def calibrate_machine(
    work: Work, environment: Environment, options: Options, limits: Limits, listener: Listener
) -> Calibration:
    """Time `environment` against itself, experiment after experiment until the budget is spent, and store what it says.

    An experiment is what a bench of two environments is at the least. It is stored under the cache, by host.

    Raises:
        UsageError: the environment does not run, or fails while it is timed, or its times allow no estimate.
    """
    if registry.availability(environment.backend).state != "broken":
        registry.check(environment)
    experiments: list[tuple[Series, Series]] = []
    began, budget = time.monotonic(), int(options.budget)
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory(prefix="deltann-") as folder:
        expected = _run_once(work, environment, options, limits, Path(folder))
        cell = Cell(str(environment))
        sides = [
            Contender(name, cell, work, expected, Path(folder) / f"{position}.log")
            for position, name in enumerate((f"{environment}", f"{environment} again"))
        ]
        while len(experiments) < FEWEST_EXPERIMENTS or time.monotonic() - began < options.budget:
            rounds: list[Round] = []
            for _ in range(FEWEST_ROUNDS):
                spent = time.monotonic() - began
                doing = f"experiment {len(experiments) + 1}, round {len(rounds) + 1}"
                listener("calibration", doing, min(budget, int(spent)), budget)
                share = options.budget / FEWEST_EXPERIMENTS / FEWEST_ROUNDS
                runs = runs_needed(options.percentile)
                round_ = measure_round("measure", sides, limits, options.pin, rng, share, runs, lambda _: None)
                for name, outcome in failures([round_]).items():
                    raise UsageError(f"{name} failed while it was timed ({outcome.reason}): calibrate by another one")
                for one in round_.measured:
                    if why := one.checks.invalid:
                        raise UsageError(f"{one.name}: {why}; calibrate by another environment")
                rounds.append(round_)
            first, second = (series_of(rounds, side.name) for side in sides)
            experiments.append((first, second))
    found = calibrate(experiments, host(), options.margin, options.percentile)
    facts = {
        "model": work.model.name,
        "environment": str(environment),
        "pin": list(options.pin),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(_file(host()), {**facts, "calibration": found.to_json()})
    return found


def stored_calibration(here: Mapping[str, Any], percentile: float) -> dict[str, Any] | None:
    """What was stored by `calibrate_machine` on the host `here`: its facts, and under "calibration" its numbers.

    None where there is none, or one of another percentile, whose scatter is another.
    """
    try:
        data = dict(json.loads(_file(here).read_text()))
        found = Calibration.from_json(data["calibration"])
    except (OSError, ValueError, KeyError, TypeError, UsageError):
        return None
    return data if found.holds_for(here) and found.percentile == percentile else None


def _file(here: Mapping[str, Any]) -> Path:
    key = json.dumps([here.get(part) for part in MACHINE])
    return cache_dir() / "calibration" / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"


def _run_once(work: Work, environment: Environment, options: Options, limits: Limits, folder: Path) -> Path:
    """The folder of outputs that an untimed process of `environment` gave."""
    cell, needed = Cell(str(environment)), samples_needed(Cell(str(environment)), work.model)
    calibration = work.request(needed) if needed else None
    with pinned(options.pin):
        begun = begin(cell, work.model, cache_dir(), folder / "first.log", limits, lambda *_: None, calibration)
    with begun:
        ready = begun.ready.result()
        if begun.worker is not None and ready.outcome.status is Status.OK:
            request = {"op": "run", "out": str(folder / "outputs"), **work.request(work.samples)}
            ready = begun.worker.request(request, limits.seconds)
    if ready.outcome.status is not Status.OK:
        raise UsageError(f"{environment} is {ready.outcome.status} ({ready.outcome.reason}): calibrate by another one")
    return folder / "outputs"
