"""How often `deltann bench` is wrong about inference time, beside what other tools would have said of the same times.

    python benchmarks/time_error_rates.py --out rates.csv

An experiment measures ONNX Runtime, one thread, on a small seeded network by what `bench` measures with: rounds of
fresh processes, slices in random order, more rounds until the interval is narrow enough, and confirmation in fresh
processes where a pair looks different. Unlike it, a round has 8 slices, there are 8 rounds at most whatever they take,
and each pair is judged alone. Against it run the same again (A/A: whoever says "slower" is wrong), and itself slowed
down for real by 5 % and by 10 % (whoever does not say "slower" is wrong). Some A/A experiments run beside a process
that burns one core in bursts. What the others would say comes of the first five rounds of the same experiment:

- means, one side after the other: the reference's processes of rounds 1 and 2, the candidate's of rounds 4 and 5;
  slower where the mean of all runs is more than 5 % larger;
- Mann–Whitney: the same runs; slower where p < .05 (two-sided) and the candidate's median is larger;
- pytest-benchmark `--benchmark-compare-fail=mean:5%`: a stored run, the reference's process of round 1, and the run
  after it, the candidate's of round 2; slower where 100 · mean / stored mean − 100 > 5.

Needs scipy. Every experiment is appended to the table when it ends; started again, it goes on where it was. Times of a
machine that does something else meanwhile are those of a noisy neighbour.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy.stats import mannwhitneyu

from deltann.cache import cache_dir
from deltann.comparison.statistics import proportion_interval
from deltann.outcome import Stage, Status
from deltann.runner.cell import Limits, Work, begin
from deltann.store import Cell
from deltann.testing.registration import registered
from deltann.timing.estimate import slowdown
from deltann.timing.machine import material
from deltann.timing.pairs import series_of
from deltann.timing.protocol import Contender, measure_round
from deltann.timing.rounds import Kind, Round
from deltann.timing.series import FEWEST_ROUNDS, Seconds
from deltann.timing.verdict import TimeVerdict, judge_times, precise_enough, to_confirm

REFERENCE = "ort[threads=1]"
CANDIDATES = {
    "the same": REFERENCE,
    "5 % slower": "slowed[percent=5,threads=1]",
    "10 % slower": "slowed[percent=10,threads=1]",
}
ALONE, BUSY = "alone", "busy neighbour"
WITH_SLOWED, AA_ALONE, AA_BUSY = 40, 20, 60
MOST_ROUNDS = 8
MARGIN = 0.05
LIMITS = Limits(dict.fromkeys(Stage, 60.0), 2 << 30)
NEIGHBOUR = """
import os, random, sys, time
rng = random.Random(int(sys.argv[1]))
parent = os.getppid()
while os.getppid() == parent:
    until = time.perf_counter() + rng.uniform(0.05, 0.5)
    while time.perf_counter() < until:
        pass
    time.sleep(rng.uniform(0.05, 0.5))
"""


@dataclass(frozen=True)
class Row:
    """One candidate of one experiment. `ratios`: log(time / reference's) of each round; `means`, `mann_whitney` and
    `pytest_benchmark` are slower, faster or same."""

    machine: str
    number: int
    candidate: str
    verdict: str
    slowdown: float
    low: float
    high: float
    confirmed: float | None
    means: str
    mann_whitney: str
    pytest_benchmark: str
    rounds: int
    took_s: float
    ratios: str
    confirming: str


def main() -> None:
    """Run what is not in the table yet, then print the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the table (CSV) to append to")
    table: Path = parser.parse_args().out
    # Workers do not see the folder of this script.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    rows = read(table)
    done = {(row.machine, row.number) for row in rows}
    plan = [(ALONE, number) for number in range(WITH_SLOWED + AA_ALONE)] + [(BUSY, number) for number in range(AA_BUSY)]
    order = [plan[position] for position in np.random.default_rng(0).permutation(len(plan))]
    with registered(slowed="slowed_ort:SlowedOrt"), tempfile.TemporaryDirectory() as folder:
        contenders = prepare(Path(folder))
        for machine, number in order:
            if (machine, number) in done:
                continue
            wanted = list(CANDIDATES) if machine == ALONE and number < WITH_SLOWED else ["the same"]
            with neighbour(number) if machine == BUSY else idle():
                found = experiment(contenders, wanted, machine, number)
            append(table, found)
            rows += found
            done.add((machine, number))
            said = "; ".join(f"{row.candidate} {row.slowdown:+.1%} {row.verdict}" for row in found)
            print(f"{len(done)}/{len(plan)} {machine}, {found[0].took_s:.1f} s: {said}", flush=True)
    print(report(rows))


def prepare(folder: Path) -> dict[str, Contender]:
    """The reference, under the name "reference", and the candidates, with the outputs that the reference gives."""
    onnx.save_model(network(), folder / "network.onnx")
    work = material(folder / "network.onnx", "random:4")
    expected = outputs(work, folder)
    specs = {"reference": REFERENCE, **CANDIDATES}
    return {name: Contender(name, Cell(spec), work, expected, folder / f"{name}.log") for name, spec in specs.items()}


def network() -> onnx.ModelProto:
    """Four convolutions of seeded weights, some tenths of a millisecond a run."""
    rng = np.random.default_rng(0)
    nodes, weights, value = [], [], "x"
    for layer, channels in enumerate((3, 32, 32, 32)):
        weight = rng.normal(0, (9 * channels) ** -0.5, (32, channels, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"weight{layer}"))
        nodes.append(helper.make_node("Conv", [value, f"weight{layer}"], [f"conv{layer}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"conv{layer}"], [f"relu{layer}"]))
        value = f"relu{layer}"
    nodes.append(helper.make_node("GlobalAveragePool", [value], ["y"]))
    shapes = {"x": [1, 3, 24, 24], "y": [1, 32, 1, 1]}
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items())
    graph = helper.make_graph(nodes, "network", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def outputs(work: Work, folder: Path) -> Path:
    """What the reference returns, stored as a comparison stores it."""
    with begin(Cell(REFERENCE), work.model, cache_dir(), folder / "outputs.log", LIMITS, lambda *_: None) as begun:
        reply = begun.ready.result()
        if begun.worker is not None and reply.outcome.status is Status.OK:
            request = {"op": "run", "out": str(folder / "outputs"), **work.request(work.samples)}
            reply = begun.worker.request(request, LIMITS.seconds)
    if reply.outcome.status is not Status.OK:
        sys.exit(f"{REFERENCE} does not run: {reply.outcome.reason}")
    return folder / "outputs"


def experiment(contenders: dict[str, Contender], wanted: Sequence[str], machine: str, number: int) -> list[Row]:
    """Measure the `wanted` candidates against the reference, and confirm those that look different."""
    began = time.monotonic()
    rng = np.random.default_rng([number, machine == BUSY])
    pairs = [(name, "reference") for name in wanted]

    def measure(kind: Kind, names: Sequence[str]) -> Round:
        sides = [contenders[name] for name in ("reference", *names)]
        round_ = measure_round(kind, sides, LIMITS, (), rng, 0.0, 1, lambda _: None)
        for one in round_.measured:
            if one.outcome is not None or one.checks.invalid:
                sys.exit(f"{one.name} failed: {one.outcome or one.checks.invalid}")
        return round_

    rounds: list[Round] = []
    while len(rounds) < MOST_ROUNDS:
        rounds.append(measure("measure", wanted))
        estimates = {(a, b): slowdown(series_of(rounds, a), series_of(rounds, b)) for a, b in pairs}
        if len(rounds) >= FEWEST_ROUNDS and all(precise_enough(one, MARGIN) for one in estimates.values()):
            break
    # Each pair is judged alone: a rate of error is that of one question.
    flagged = [name for (name, _), one in estimates.items() if to_confirm({(name, ""): one}, MARGIN)]
    again = [measure("confirm", flagged) for _ in rounds] if flagged else []
    rows = []
    for pair, estimate in estimates.items():
        confirmation = None
        if pair[0] in flagged:
            confirmation = slowdown(series_of(again, pair[0]), series_of(again, pair[1]))
        confirmations = None if confirmation is None else {pair: confirmation}
        judgement = judge_times({pair: estimate}, MARGIN, confirmations=confirmations)[pair]
        candidate, reference = (series_of(rounds, name).rounds for name in pair)
        rows.append(
            Row(
                machine,
                number,
                pair[0],
                judgement.verdict,
                estimate.slowdown,
                estimate.low,
                estimate.high,
                None if confirmation is None else confirmation.slowdown,
                *others(candidate, reference),
                len(rounds),
                time.monotonic() - began,
                " ".join(f"{ratio:.6f}" for ratio in estimate.ratios),
                " ".join(f"{ratio:.6f}" for ratio in confirmation.ratios) if confirmation is not None else "",
            )
        )
    return rows


def others(candidate: Sequence[Seconds], reference: Sequence[Seconds]) -> tuple[str, str, str]:
    """What sequential means, Mann–Whitney and pytest-benchmark's rule say: slower, faster or same."""
    before = np.concatenate([seconds.ravel() for seconds in reference[0:2]])
    after = np.concatenate([seconds.ravel() for seconds in candidate[3:5]])
    change = after.mean() / before.mean() - 1
    means = "slower" if change > MARGIN else "faster" if change < -MARGIN else "same"
    direction = "slower" if np.median(after) > np.median(before) else "faster"
    rank = direction if mannwhitneyu(after, before).pvalue < 0.05 else "same"
    change = 100 * candidate[1].mean() / reference[0].mean() - 100
    return means, rank, "slower" if change > 100 * MARGIN else "faster" if change < -100 * MARGIN else "same"


@contextmanager
def neighbour(seed: int) -> Iterator[None]:
    """A process that burns one core in bursts."""
    with subprocess.Popen([sys.executable, "-c", NEIGHBOUR, str(seed)]) as process:
        try:
            yield
        finally:
            process.kill()


@contextmanager
def idle() -> Iterator[None]:
    """Nobody else."""
    yield


def read(table: Path) -> list[Row]:
    """The rows of a table; none where there is no such file."""
    if not table.exists():
        return []
    rows = []
    with table.open(newline="") as file:
        for line in csv.DictReader(file):
            values: dict[str, Any] = dict(line)
            values |= {key: float(line[key]) for key in ("slowdown", "low", "high", "took_s")}
            values |= {key: int(line[key]) for key in ("number", "rounds")}
            rows.append(Row(**values | {"confirmed": float(line["confirmed"]) if line["confirmed"] else None}))
    return rows


def append(table: Path, rows: Sequence[Row]) -> None:
    """Write the rows of one experiment at once, so that it is there wholly or not at all."""
    new = not table.exists()
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        if new:
            writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def report(rows: Sequence[Row]) -> str:
    """A table in Markdown: how often each tool said "slower", of how many, with the 95 % interval of that rate."""
    slower = {
        "deltann": lambda row: row.verdict == TimeVerdict.REGRESSION,
        "deltann, unconfirmed": lambda row: row.slowdown > 0 and row.confirmed is not None,
        "means, one after the other": lambda row: row.means == "slower",
        "Mann–Whitney, p < .05": lambda row: row.mann_whitney == "slower",
        "pytest-benchmark mean:5%": lambda row: row.pytest_benchmark == "slower",
    }
    kinds = [(ALONE, "the same"), (BUSY, "the same"), (ALONE, "5 % slower"), (ALONE, "10 % slower")]
    lines = ['| said "slower" | ' + " | ".join(f"{name}, {machine}" for machine, name in kinds) + " |"]
    lines.append("|---" * (len(kinds) + 1) + "|")
    for tool, says in slower.items():
        cells = []
        for kind in kinds:
            chosen = [row for row in rows if (row.machine, row.candidate) == kind]
            count = sum(map(says, chosen))
            low, high = proportion_interval(count, len(chosen)) if chosen else (0.0, 1.0)
            cells.append(f"{count} of {len(chosen)} ({low:.0%} – {high:.0%})")
        lines.append(f"| {tool} | " + " | ".join(cells) + " |")
    for machine, name in kinds:
        chosen = [row for row in rows if (row.machine, row.candidate) == (machine, name)]
        counts = {str(verdict): sum(row.verdict == verdict for row in chosen) for verdict in TimeVerdict}
        rounds = np.mean([row.rounds for row in chosen]) if chosen else 0
        lines.append(f"{name}, {machine}: {counts}, {rounds:.1f} rounds")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
