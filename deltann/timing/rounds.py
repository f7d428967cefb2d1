"""Measured rounds on disk.

    RUN/timing/timing.json            what was asked, the host, its calibration, whether measuring came to its end, and
                                      then of how many rounds
    RUN/timing/rounds/NNN/round.json  a round: the order of its slices, and what is known of each environment
    RUN/timing/rounds/NNN/K.npy       seconds [slices, runs] of its K-th environment

`round.json` is written last, so a round is there wholly or not at all. Verdicts are not stored: they are computed anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from deltann.errors import UsageError, one_line
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.runner.outputs import read_array
from deltann.store import write_json

Kind = Literal["measure", "confirm"]
DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, OverflowError, RecursionError)
"""What reading a file that is not what it should be ends in."""


@dataclass(frozen=True)
class Checks:
    """Of how many runs the outputs were looked at, timed or not, and how many were not the stored ones.

    `changed`: other bits, inside the tolerance. `wrong`: outside it, or of other names or shapes. `stale`: those of
    the run before. `problem` is one line on the first wrong or stale run. `tells`: whether stale outputs could have
    been noticed, which takes two batches of inputs with different outputs.
    """

    runs: int = 0
    changed: int = 0
    wrong: int = 0
    stale: int = 0
    problem: str = ""
    tells: bool = True

    def __add__(self, other: Checks) -> Checks:
        counts = {key: getattr(self, key) + getattr(other, key) for key in ("runs", "changed", "wrong", "stale")}
        return Checks(**counts, problem=self.problem or other.problem, tells=self.tells and other.tells)

    @property
    def invalid(self) -> str | None:
        """Why the times stand for nothing, or None where every run computed what it should."""
        bad = self.wrong + self.stale
        return f"{self.problem} ({bad} of {self.runs} runs)" if bad else None


@dataclass(frozen=True)
class Measured:
    """One environment in one round, which is one process of it.

    `seconds` [slices, runs] of single runs, empty where it did not come so far. `load_s`: seconds to load the artifact;
    `first_s`: the first inference; `peak_memory`: bytes that the process held at most until that ended;
    `artifact_bytes`; None where not known. `outcome` says what ended it early.
    """

    name: str
    seconds: npt.NDArray[np.float64]
    load_s: float | None = None
    first_s: float | None = None
    peak_memory: int | None = None
    artifact_bytes: int | None = None
    checks: Checks = field(default_factory=Checks)
    outcome: Outcome | None = None


@dataclass(frozen=True)
class Round:
    """Fresh processes of some environments, timed in turns. `order`: of each slice, the names as they came."""

    kind: Kind
    measured: tuple[Measured, ...]
    order: tuple[tuple[str, ...], ...]
    took_s: float


def save_round(folder: Path, number: int, round_: Round) -> None:
    """Store round `number` under `folder` (RUN/timing)."""
    place = folder / "rounds" / f"{number:03d}"
    place.mkdir(parents=True, exist_ok=True)
    cells = []
    for position, measured in enumerate(round_.measured):
        np.save(place / f"{position}.npy", measured.seconds, allow_pickle=False)
        facts = {key: getattr(measured, key) for key in ("name", "load_s", "first_s", "peak_memory", "artifact_bytes")}
        outcome = None if measured.outcome is None else asdict(measured.outcome)
        cells.append({**facts, "checks": asdict(measured.checks), "outcome": outcome})
    names = [measured.name for measured in round_.measured]
    order = [[names.index(name) for name in turn] for turn in round_.order]
    write_json(place / "round.json", {"kind": round_.kind, "took_s": round_.took_s, "cells": cells, "order": order})


def load_rounds(folder: Path, complete: bool = False, number: int | None = None) -> tuple[Round, ...]:
    """The rounds stored under `folder`, in their order; `complete`: measuring ended, so that each has to be whole.

    `number`: how many there are to be, where that is known.

    Raises:
        UsageError: one of them is damaged, or missing.
    """
    found = {int(path.name): path for path in folder.glob("rounds/*") if re.fullmatch(r"[0-9]{3,}", path.name)}
    places = {key: path for key, path in found.items() if complete or (path / "round.json").exists()}
    wanted = max(places, default=-1) + 1 if number is None else number
    there = sorted(key for key in places if key < wanted)
    if gone := wanted - len(there):
        first = next(place for place, key in enumerate([*there, None]) if place != key)
        raise UsageError(f"{folder}: {gone} of {wanted} rounds are missing (the first is {first:03d}); measure again")
    return tuple(_load(places[key]) for key in there)


def _load(place: Path) -> Round:
    try:
        data = json.loads((place / "round.json").read_text())
        measured = tuple(_measured(place, position, cell) for position, cell in enumerate(data["cells"]))
        names = [one.name for one in measured]
        order = tuple(tuple(names[int(position)] for position in turn) for turn in data["order"])
        if data["kind"] not in ("measure", "confirm") or len(set(names)) != len(names):
            raise ValueError("neither a measurement nor a confirmation")
        return Round(data["kind"], measured, order, float(data["took_s"]))
    except DAMAGE as error:
        raise UsageError(f"{place}: damaged ({one_line(str(error))}); measure again") from error


def _measured(place: Path, position: int, cell: Mapping[str, Any]) -> Measured:
    seconds = np.array(read_array(place / f"{position}.npy"))
    if seconds.ndim != 2 or seconds.dtype != np.float64:
        raise ValueError(f"{position}.npy holds {seconds.dtype}{list(seconds.shape)}")
    checks = Checks(**cell["checks"])
    outcome = None if cell["outcome"] is None else read_outcome(cell["outcome"])
    if not isinstance(checks.problem, str) or not all(
        isinstance(n, int) for n in (checks.runs, checks.wrong, checks.stale)
    ):
        raise TypeError("checks of another kind")
    return Measured(
        str(cell["name"]),
        seconds,
        load_s=None if cell["load_s"] is None else float(cell["load_s"]),
        first_s=None if cell["first_s"] is None else float(cell["first_s"]),
        peak_memory=None if cell["peak_memory"] is None else int(cell["peak_memory"]),
        artifact_bytes=None if cell["artifact_bytes"] is None else int(cell["artifact_bytes"]),
        checks=checks,
        outcome=outcome,
    )


def read_outcome(data: Mapping[str, Any]) -> Outcome:
    """The opposite of `asdict`."""
    stage, symptom = data["stage"], data["symptom"]
    stage, symptom = Stage(stage) if stage else None, Symptom(symptom) if symptom else None
    return Outcome(Status(data["status"]), stage, symptom, str(data["reason"]), str(data["detail"]))


def failures(rounds: Sequence[Round]) -> dict[str, Outcome]:
    """What ended environments in the midst of being timed, by name."""
    found: dict[str, Outcome] = {}
    for one in (measured for round_ in rounds for measured in round_.measured):
        if one.outcome is not None:
            found.setdefault(one.name, one.outcome)
    return found


def checks(rounds: Sequence[Round], name: str) -> Checks:
    """What all its rounds found out about an environment's outputs."""
    found = [one.checks for round_ in rounds for one in round_.measured if one.name == name]
    return sum(found[1:], found[0]) if found else Checks()
