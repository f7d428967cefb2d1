"""Timing in the worker: slices of runs, each run timed alone, what it returned checked against stored outputs.

The first request `time` brings the protocol's "inputs", "samples", "rows", "batched", and "expected", the folder of
outputs that the same environment stored: the first inference and a warm-up, which settle how many runs a slice has.
Each further one is a slice. Outputs are kept until the slice ends and compared then, so that nothing but the
executable works between two readings of the clock.
"""

from __future__ import annotations

import gc
import math
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deltann.backend import Executable, Tensors
from deltann.comparison.tolerance import Tolerances
from deltann.runner.batches import Batches
from deltann.runner.outputs import read_outputs

SLICE_S = 0.02
"""A slice lasts at least so long: several times what a scheduler's turn takes."""
FEWEST_RUNS = 3
LONG_S = 0.25
"""Of a run that takes so long, a slice is one, with none before it: what it loses to cold caches is under 1 %."""
MOST_RUNS = 2000
"""Of one slice, however short they are: a run of 10 µs is mostly the call itself."""
LEAD_S = 0.002
"""Untimed runs before each slice: another environment has just had the caches, and stopped threads wake up."""
WARM_S = 0.1
KEPT_BYTES = 64 << 20
"""Of outputs that wait for their slice's end."""
MOST_BATCHES = 16
"""Batches of inputs that slices go through, held in memory, so that no run waits for the disk."""
POOL_BYTES = 256 << 20
_TELL_EVERY_S = 1.0

Arrays = dict[str, npt.NDArray[Any]]


class _Batch(NamedTuple):
    """Inputs of one run, the stored outputs that its first `rows` samples gave, as rows, and how many they are."""

    feeds: Tensors
    wanted: Arrays
    rows: int


class Timed:
    """A loaded executable in the timed loop. `tell` is called now and then between runs, as a sign of life."""

    def __init__(
        self, executable: Executable, batches: Batches, request: dict[str, Any], tell: Callable[[], None]
    ) -> None:
        self._execute, self._tell, self._told = executable.run, tell, time.monotonic()
        self._full = request["rows"] if request["batched"] else None
        self._coming = _batches(batches, request)
        self._pool = [next(self._coming)]
        self._next = 0
        self._runs, self._long = FEWEST_RUNS, False
        self._previous: tuple[int, Arrays] | None = None

    def warm_up(self) -> dict[str, Any]:
        """Run for the first time and then for a while: how long the first took, and whether staleness can be seen.

        `peak_memory` is that of loading and the first run, before other batches and outputs are kept here.
        """
        spans, kept = self._go(1)
        peak = peak_memory()
        self._pool += self._coming
        self._next = 1 % len(self._pool)
        first, found = spans[0], self._check(kept)
        taken: list[int] = []
        until = time.perf_counter() + WARM_S
        while len(taken) < 2 or time.perf_counter() < until:
            spans, kept = self._go(1)
            taken += spans
            found += self._check(kept)
        size = max(1, sum(np.asarray(value).nbytes for value in kept[-1][1].values()))
        wanted = math.ceil(SLICE_S * 1e9 / max(1, min(taken)))
        self._long = min(taken) > LONG_S * 1e9
        self._runs = 1 if self._long else max(FEWEST_RUNS, min(wanted, MOST_RUNS, KEPT_BYTES // size))
        # What is loaded by now stays; a collection in the middle of a slice would be timed with it.
        gc.collect()
        gc.freeze()
        tells = any(not _same(self._pool[0].wanted, batch.wanted) for batch in self._pool[1:])
        return {"pid": os.getpid(), "first_ns": first, "peak_memory": peak, "tells": tells, **self._facts(found)}

    def slice(self) -> dict[str, Any]:
        """Lead in, then time the runs of one slice: nanoseconds of each."""
        until = time.perf_counter() + LEAD_S
        kept: list[tuple[int, Tensors]] = []
        while not self._long and (not kept or time.perf_counter() < until) and len(kept) < self._runs:
            kept += self._go(1)[1]
        spans, timed = self._go(self._runs)
        return {"ns": spans, **self._facts(self._check(kept + timed))}

    def _facts(self, found: list[tuple[str, str]]) -> dict[str, Any]:
        kinds = [kind for kind, _ in found]
        problem = next((text for _, text in found if text), "")
        counts = {kind: kinds.count(kind) for kind in ("changed", "wrong", "stale")}
        return {"checks": {"runs": len(found), **counts, "problem": problem}}

    def _go(self, runs: int) -> tuple[list[int], list[tuple[int, Tensors]]]:
        """Nanoseconds of each run, and (number of the batch, outputs) of each; no batch twice in a row."""
        execute, clock, pool = self._execute, time.perf_counter_ns, self._pool
        spans: list[int] = []
        kept: list[tuple[int, Tensors]] = []
        gc.disable()
        try:
            for _ in range(runs):
                number = self._next
                self._next = (number + 1) % len(pool)
                feeds = pool[number].feeds
                started = clock()
                outputs = execute(feeds)
                spans.append(clock() - started)
                kept.append((number, outputs))
                if time.monotonic() - self._told > _TELL_EVERY_S:
                    self._told = time.monotonic()
                    self._tell()
        finally:
            gc.enable()
        return spans, kept

    def _check(self, kept: list[tuple[int, Tensors]]) -> list[tuple[str, str]]:
        """What each run returned beside what is stored: same, changed (inside the tolerance), wrong or stale; why."""
        found = []
        for number, outputs in kept:
            arrays = {name: np.asarray(value) for name, value in outputs.items()}
            found.append(self._judge(number, arrays))
            self._previous = number, arrays
        return found

    def _judge(self, number: int, arrays: Arrays) -> tuple[str, str]:
        wanted, rows = self._pool[number].wanted, self._pool[number].rows
        counted = {name: self._counted(array, rows) for name, array in arrays.items()}
        if _same(counted, wanted):
            return "same", ""
        if self._previous is not None:
            before, last = self._previous
            if not _same(self._pool[before].wanted, wanted) and _same(last, arrays):
                return "stale", "timed runs returned the outputs of the run before them"
        if counted.keys() != wanted.keys():
            return "wrong", f"timed runs returned the outputs {sorted(counted)}, the comparison's run {sorted(wanted)}"
        reasons = [_outside(name, array, wanted[name]) for name, array in counted.items()]
        return next((("wrong", reason) for reason in reasons if reason), ("changed", ""))

    def _counted(self, value: npt.NDArray[Any], rows: int) -> npt.NDArray[Any]:
        """`value` as it is stored: a row a sample without those that filled up a short batch, or one for the run."""
        return value[:rows] if self._full is not None and value.shape[:1] == (self._full,) else value[None]


def _batches(batches: Batches, request: dict[str, Any]) -> Iterator[_Batch]:
    """Up to `MOST_BATCHES` or `POOL_BYTES` of them, two at least where there are two, each as it is asked for."""
    stored, rows, samples = read_outputs(Path(request["expected"])), request["rows"], request["samples"]
    held = 0
    for run in range(min(len(batches), MOST_BATCHES)):
        feeds = {name: _frozen(array) for name, array in batches[run].items()}
        wanted = {name: _part(array, run, rows, samples) for name, array in stored.items()}
        held += sum(array.nbytes for array in (*feeds.values(), *wanted.values()))
        if run > 1 and held > POOL_BYTES:
            break
        yield _Batch(feeds, wanted, min(rows, samples - run * rows))


def peak_memory() -> int:
    """Bytes: the most that this process held in memory since it was started, files mapped into it included.

    Not `ru_maxrss` where it can be helped: on Linux that begins with what the parent had held before `exec`.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A copy in memory, read-only as stored samples are: what writes to its inputs is found out."""
    copy = np.array(array)
    copy.setflags(write=False)
    return copy


def _part(stored: npt.NDArray[Any], run: int, rows: int, samples: int) -> npt.NDArray[Any]:
    """What a run of so many rows stored, of an output [samples, …] or [runs, …]; in memory."""
    return np.array(stored[run * rows : (run + 1) * rows] if len(stored) == samples else stored[run : run + 1])


def _same(a: Arrays, b: Arrays) -> bool:
    """Whether all bits are equal: NaN equals itself, and the zeros differ."""
    return a.keys() == b.keys() and all(
        x.dtype == b[name].dtype and x.shape == b[name].shape and x.tobytes() == b[name].tobytes()
        for name, x in a.items()
    )


def _outside(name: str, array: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> str:
    """Why a run's output is not the stored one within the default tolerance of its type; empty where it is."""
    if array.dtype != wanted.dtype or array.shape != wanted.shape:
        sides = [f"{side.dtype}{list(side.shape)}" for side in (array, wanted)]
        return f"output '{name}' of a timed run is {sides[0]}, and the stored one {sides[1]}"
    if wanted.dtype.kind != "f":
        return "" if np.array_equal(array, wanted) else f"output '{name}' of a timed run differs from the stored one"
    a, b = array.astype(np.float64), wanted.astype(np.float64)
    finite = np.isfinite(b)
    scale = float(np.sqrt(np.mean(b[finite] ** 2))) if finite.any() else 0.0
    tolerance = Tolerances().of(name, wanted.dtype, wanted.dtype, scale)
    with np.errstate(invalid="ignore"):
        close = np.isclose(a, b, tolerance.rtol, tolerance.atol, equal_nan=True)
    return "" if close.all() else f"output '{name}' of a timed run differs from the stored one beyond the tolerance"
