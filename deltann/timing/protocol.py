"""One round: a fresh process of every environment, all loaded, timed in turns of one slice each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from deltann.cache import cache_dir
from deltann.errors import UsageError
from deltann.outcome import Outcome, Status
from deltann.runner.cell import Limits, Work, begin, samples_needed
from deltann.runner.local import WorkerProcess
from deltann.runner.spare import dismiss
from deltann.store import Cell
from deltann.timing.neighbours import pause, pinned, resume
from deltann.timing.rounds import Checks, Kind, Measured, Round
from deltann.timing.series import FEWEST_SLICES

SLICES = 24
"""Of a round, where its share of the budget does not end it before: processes differ more than slices of one do, so
time is better spent on another round."""

Notify = Callable[[str], None]
"""Called with what is being done."""


@dataclass(frozen=True)
class Contender:
    """An environment to be timed: `name` tells it from the others, `expected` holds the outputs its cell stored.

    `facts` are those of its cell where it was compared; what is timed then has to be the same version and artifact.
    """

    name: str
    cell: Cell
    work: Work
    expected: Path
    log: Path
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class _Loaded:
    """A contender's process, stopped while another one works."""

    contender: Contender
    worker: WorkerProcess
    pid: int
    measured: Measured
    slices: list[list[int]] = field(default_factory=list)


def measure_round(
    kind: Kind,
    contenders: Sequence[Contender],
    limits: Limits,
    pin: Sequence[int],
    rng: np.random.Generator,
    share_s: float,
    runs: int,
    notify: Notify,
) -> Round:
    """Load every contender, then time slices of them in turn, in random order, for about `share_s` seconds in all.

    There are at least `FEWEST_SLICES` slices of each, and at most `SLICES`, or as many as `runs` runs take. Whoever
    fails is left out from then on, and its outcome says how it failed.

    Raises:
        UsageError: the disk is full, or a contender is no longer what was compared.
    """
    started = time.monotonic()
    dismiss()  # they were started before anybody knew what they would be pinned to
    ended: dict[str, Measured] = {}
    order: list[tuple[str, ...]] = []
    with ExitStack() as ends:
        loaded: dict[str, _Loaded] = {}
        for position in rng.permutation(len(contenders)):
            contender = contenders[position]
            notify(f"{kind}: load {contender.name}")
            found = _load(contender, limits, pin, ends)
            if isinstance(found, _Loaded):
                loaded[contender.name] = found
            else:
                ended[contender.name] = found
        while loaded and not _enough(loaded, len(order), time.monotonic() - started, share_s, runs):
            names = list(loaded)
            turn = tuple(names[position] for position in rng.permutation(len(names)))
            notify(f"{kind}: slice {len(order) + 1}")
            for name in turn:
                if outcome := _slice(loaded[name], limits):
                    ended[name] = replace(loaded.pop(name).measured, outcome=outcome)
            order.append(turn)
    for name, one in loaded.items():
        ended[name] = replace(one.measured, seconds=np.array(one.slices, np.float64) * 1e-9)
    return Round(kind, tuple(ended[c.name] for c in contenders), tuple(order), time.monotonic() - started)


def _enough(loaded: Mapping[str, _Loaded], slices: int, took_s: float, share_s: float, runs: int) -> bool:
    if slices < FEWEST_SLICES:
        return False
    # Half as many again, since the first ones may be warm-up.
    wanted = max(math.ceil(1.5 * runs / len(one.slices[0])) for one in loaded.values())
    return slices >= max(SLICES, wanted) or took_s >= share_s


def _load(contender: Contender, limits: Limits, pin: Sequence[int], ends: ExitStack) -> _Loaded | Measured:
    """A process of the contender, warm and stopped; what is known of one that did not come so far."""
    measured = Measured(contender.name, np.empty((0, 0)))
    work = contender.work
    needed = samples_needed(contender.cell, work.model)
    calibration = work.request(needed) if needed else None
    with pinned(pin):
        begun = begin(contender.cell, work.model, cache_dir(), contender.log, limits, lambda *_: None, calibration)
    ends.enter_context(begun)
    ready = begun.ready.result()
    if begun.worker is None or ready.outcome.status is not Status.OK:
        return replace(measured, outcome=ready.outcome)
    _check_same(contender, ready.facts)
    measured = replace(measured, load_s=ready.facts.get("load_s"), artifact_bytes=ready.facts.get("artifact_bytes"))
    request = {"op": "time", "expected": str(contender.expected.absolute()), **work.request(work.samples)}
    warm = begun.worker.request(request, limits.seconds)
    if warm.outcome.status is not Status.OK:
        return replace(measured, outcome=warm.outcome)
    pause(warm.facts["pid"])
    checks = Checks(**warm.facts["checks"], tells=warm.facts["tells"])
    measured = replace(
        measured, first_s=warm.facts["first_ns"] * 1e-9, checks=checks, peak_memory=warm.facts["peak_memory"]
    )
    return _Loaded(contender, begun.worker, warm.facts["pid"], measured)


def _check_same(contender: Contender, facts: Mapping[str, Any]) -> None:
    """Raise UsageError where another version or artifact was loaded than gave the stored outputs."""
    for fact in ("version", "artifact"):
        then, now = contender.facts.get(fact, facts[fact]), facts[fact]
        if then != now:
            what = f"{fact} {now}, and was {then}" if fact == "version" else "another artifact than it was"
            raise UsageError(f"{contender.name} is {what} when it was compared: compare again, in another --out")


def _slice(one: _Loaded, limits: Limits) -> Outcome | None:
    """Time a slice while all others are stopped; how it failed, if it did."""
    resume(one.pid)
    reply = one.worker.request({"op": "time"}, limits.seconds)
    if reply.outcome.status is not Status.OK:
        return reply.outcome
    pause(one.pid)
    one.slices.append(reply.facts["ns"])
    one.measured = replace(one.measured, checks=one.measured.checks + Checks(**reply.facts["checks"]))
    return None
