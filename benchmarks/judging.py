"""What judging costs: comparing 10 million floats beside `numpy.allclose`, and every pair of eight environments.

`python benchmarks/judging.py [--rounds 9] [--environments 8] [--samples 50000] [--classes 1000] [--flips 3000]`

First, in one process: each round takes, in an order of its own, `numpy.allclose` and our comparison of the same two
arrays, whose ratio is printed; in CPU time, since both use one core and others may use the machine. Then
`deltann compare --from` judges a stored run of synthetic logits: each environment's are the same with noise of its own
as float32 rounding leaves, and in the last one `--flips` labels are another class. Its time is that of the whole
command; its memory is told as what it holds itself and as files mapped into it, which the kernel drops when somebody
needs the room.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from measure import run

from deltann.comparison.numeric import numeric_error
from deltann.comparison.output import compare_outputs
from deltann.comparison.tolerance import Tolerance
from deltann.tasks import Task
from deltann.testing.stored import write_run

MILLIONS = (100, 100, 1000)
SHARE = 1e-3
NOISE = np.float32(1e-6)
Sides = tuple[np.ndarray, np.ndarray]


def sides() -> Iterator[tuple[str, Sides]]:
    """Two arrays of 10 million elements each, in the states that cost differently."""
    rng = np.random.default_rng(0)
    first = rng.standard_normal(MILLIONS, dtype=np.float32)
    rounding = first * (1 + NOISE * rng.standard_normal(MILLIONS, dtype=np.float32))
    yield "float32, apart by rounding", (rounding, first)
    yield "float32, equal", (first.copy(), first)
    yield "float32, all outside the tolerance", (first + np.float32(0.1), first)
    spotted = first.copy()
    spotted[..., ::97] = np.nan
    yield "float32, 1 % NaN", (rounding + spotted * 0, spotted)
    yield "float64, apart by rounding", (rounding.astype(np.float64), first.astype(np.float64))
    yield "float16, apart by rounding", (rounding.astype(np.float16), first.astype(np.float16))
    yield "int32, a few apart", ((rounding * 1000).astype(np.int32), (first * 1000).astype(np.int32))


def cpu_seconds(job: Callable[[], object]) -> float:
    """Of one call."""
    started = time.process_time()
    job()
    return time.process_time() - started


def against_allclose(rounds: int) -> None:
    """Print median ratios and their quartiles: of a pair's numbers, and of all that is said of two tensors alone.

    The latter is what two environments cost; with more of them each pair takes the numbers only.
    """
    print("| 10 million elements | numpy.allclose | numbers of a pair | all of compare_outputs |\n|---|---|---|---|")
    for name, (a, b) in sides():
        jobs: dict[str, Callable[[], object]] = {
            "allclose": partial(np.allclose, a, b, SHARE, SHARE),
            "numbers": partial(numeric_error, a, b, Tolerance(SHARE, SHARE)),
            "all": partial(compare_outputs, {"y": a}, {"y": b}, tasks={"y": Task.TENSOR}),
        }
        times = []
        for number in range(rounds + 1):
            order = random.Random(number).sample(list(jobs), len(jobs))
            times.append({job: cpu_seconds(jobs[job]) for job in order})
        del times[0]  # which pays for fresh memory
        row = [name, f"{statistics.median(taken['allclose'] for taken in times) * 1e3:.0f} ms"]
        for job in ("numbers", "all"):
            low, middle, high = statistics.quantiles((taken[job] / taken["allclose"] for taken in times), n=4)
            row.append(f"{middle:.2f} ({low:.2f} – {high:.2f})")
        print("|", " | ".join(row), "|", flush=True)


def write_logits(run_folder: Path, environments: int, samples: int, classes: int, flips: int) -> None:
    """A stored run of environments `ort[threads=1]`, `ort[threads=2]`…; logits are made a thousand rows at a time."""
    changed = set(np.random.default_rng(1).choice(samples, min(flips, samples), replace=False).tolist())
    with tempfile.TemporaryDirectory() as scratch:
        cells = {}
        for number in range(environments):
            path = Path(scratch, f"{number}.npy")
            made = np.lib.format.open_memmap(path, "w+", np.float32, (samples, classes))
            for start in range(0, samples, 1000):
                rows = made[start : start + 1000]
                rng = np.random.default_rng([2, start])
                rows[:] = rng.standard_normal(rows.shape, dtype=np.float32) * np.float32(3)
                rng = np.random.default_rng([3, start, number])
                rows *= 1 + NOISE * rng.standard_normal(rows.shape, dtype=np.float32)
                if number == environments - 1:
                    for row in (row for row in range(len(rows)) if start + row in changed):
                        rows[row] = np.roll(rows[row], 1)
            cells[f"ort[threads={number + 1}]"] = {"logits": made}
        write_run(run_folder, cells)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--environments", type=int, default=8)
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--flips", type=int, default=3000)
    arguments = parser.parse_args()
    against_allclose(arguments.rounds)
    shape = arguments.samples, arguments.classes
    with tempfile.TemporaryDirectory() as scratch:
        stored = Path(scratch, "run")
        write_logits(stored, arguments.environments, *shape, arguments.flips)
        program = str(Path(sys.executable).with_name("deltann"))
        before = os.times()
        measured = run([program, "compare", "--from", str(stored)], expected=1 if arguments.flips else 0)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    pairs = arguments.environments * (arguments.environments - 1) // 2
    print(f"\n{arguments.environments} environments of {shape[0]} × {shape[1]} logits, {pairs} pairs:\n")
    print("| whole command | its CPU time | memory of its own | mapped files |", "|---" * 4 + "|", sep="\n")
    print(f"| {measured.wall_s:.1f} s | {cpu:.1f} s | {measured.own_mb:.0f} MB | {measured.mapped_mb:.0f} MB |")


if __name__ == "__main__":
    main()
