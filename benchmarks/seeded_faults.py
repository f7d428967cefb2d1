"""Recall on seeded faults and false alarms on faithful lowerings: deltann's verdicts beside Polygraphy's defaults.

`python benchmarks/seeded_faults.py [--out FOLDER] [--models NAME,…] [--each 2] [--part faults|faithful]`

Faults: for each real model, each of the six classes and each severity, `--each` sabotaged copies, run as an environment
that was asked to run the sound model, and compared with `torch` by `deltann.compare`, evidence included. Faithful
pairs: every two of `FAITHFUL` on each model, one sample and four a run. Polygraphy gets the same outputs (its
SimpleCompareFunc as it comes: rtol 1e-5, atol 1e-5, element by element).

A fault whose outputs in float64 are no further from the sound model's than float32 rounding is on these inputs (in root
mean square, output by output) could be noticed by nobody: it is counted apart. Written are faults.csv, faithful.csv and
summary.md.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from faulty_lowering import COPIES
from PIL import Image
from polygraphy.comparator import Comparator, IterationResult, RunResults, SimpleCompareFunc
from polygraphy.logger import G_LOGGER

import deltann
from deltann import registry
from deltann.binding import bind
from deltann.comparison.evidence import Arbitration
from deltann.comparison.statistics import proportion_interval
from deltann.comparison.verdict import Verdict
from deltann.environment import Environment
from deltann.evidence.stored import arbitration
from deltann.model import load_model
from deltann.preprocess import apply, load_pipeline, resolve
from deltann.result import Pair, Result
from deltann.sabotage import KINDS, Copy, sabotage
from deltann.testing.registration import registered

Arrays = Mapping[str, npt.NDArray[Any]]
HERE = Path(__file__).parent
DATA = HERE.parent.parent / "shared" / "data"
MODELS = {
    "mobilenet_v2": ("tf", 8),
    "squeezenet1_1": ("caffe", 8),
    "mobilenet_v1_0.25_128": ("tf", 8),
    "yolox_nano": ("yolox", 3),
    "posenet_mobilenet_v1": ("tf-squash", 3),
}
"""The preprocessing of each and how many photographs it gets."""
SEVERITIES = (1.0, 0.1, 0.01)
BASE = "torch"
FAITHFUL = ("ort-O0", "ort-O1", "ort-O2", "ort-O3", "ort[threads=1]", "torch", "openvino-f32", "tract", "tf")
BATCHES = {1: tuple(MODELS), 4: ("mobilenet_v2", "squeezenet1_1", "mobilenet_v1_0.25_128")}
EXACT = Environment.parse("torch[outputs=computed,precision=float64,threads=1]")
CLEAR = 10
"""A float32 run of a copy so many times as far from float64 as rounding needs no float64 run of the copy to be seen."""


@dataclass(frozen=True)
class FaultRow:
    """One fault: whether it shows in float64, what each tool said, and deltann's first reason."""

    model: str
    kind: str
    severity: float
    fault: str
    shows: bool
    deltann: str
    polygraphy: str
    reason: str


@dataclass(frozen=True)
class FaithfulRow:
    """One pair of environments that both run the model as it is."""

    model: str
    batch: int
    candidate: str
    reference: str
    deltann: str
    polygraphy: str
    reason: str


def deltann_says(pair: Pair) -> tuple[str, str]:
    """Its verdict and the first reason."""
    return str(pair.judgement.verdict), next(iter(pair.judgement.reasons), "")


def polygraphy_says(candidate: Arrays, reference: Arrays) -> str:
    """DIFFER or AGREE, by its defaults."""
    runs = RunResults()
    for name, outputs in (("candidate", candidate), ("reference", reference)):
        arrays = {key: np.ascontiguousarray(array) for key, array in outputs.items()}
        runs.append((name, [IterationResult(outputs=arrays, runner_name=name)]))
    accuracy = Comparator.compare_accuracy(runs, compare_func=SimpleCompareFunc())
    return str(Verdict.AGREE if bool(accuracy) else Verdict.DIFFER)


def photographs(path: Path, preset: str, count: int) -> dict[str, npt.NDArray[Any]]:
    """Preprocessed photographs [count, …] by the model's only input."""
    spec = bind(load_model(path), {}, 1).model.inputs[0]
    pipeline = resolve(load_pipeline(preset), spec)
    rows = []
    for file in sorted((DATA / "images" / "nips17_256_png").iterdir())[:count]:
        with Image.open(file) as image:
            rows.append(apply(pipeline, image))
    return {spec.name: np.stack(rows)}


def chosen(proto: onnx.ModelProto, each: int) -> list[Copy]:
    """`each` copies of every class at every severity, no fault twice; those that have degrees go first below 1."""
    copies: list[Copy] = []
    seen: set[str] = set()
    for seed, severity in enumerate(SEVERITIES):
        taken: Counter[str] = Counter()
        made = sabotage(proto, len(KINDS) * (each + 8), seed, severity)
        for copy in sorted(made, key=lambda copy: copy.severity != severity):
            if taken[copy.kind] < each and copy.description not in seen:
                taken[copy.kind] += 1
                seen.add(copy.description)
                copies.append(copy)
    return copies


def faults(model: str, each: int, scratch: Path) -> Iterator[FaultRow]:
    """Make the faults of one model, run and judge them."""
    path = DATA / "models" / f"{model}.onnx"
    inputs = photographs(path, *MODELS[model])
    copies = chosen(onnx.load(path), each)
    os.environ[COPIES] = str(scratch)
    for number, copy in enumerate(copies, 1):
        onnx.save_model(copy.proto, scratch / f"{number}.onnx")
    specs = [BASE, *(f"faulty[copy={number}]" for number in range(1, len(copies) + 1))]
    result = deltann.compare(path, specs, inputs=inputs, reference=BASE, out=scratch / "run")
    arbiter = arbitration(result.run, "model")
    if not isinstance(arbiter, Arbitration):
        sys.exit(f"{model}: no arbiter: {arbiter}")
    pairs = {pair.candidate.environment: pair for pair in result.compared if pair.reference.environment == BASE}
    for number, copy in enumerate(copies, 1):
        pair = pairs[f"faulty[copy={number}]"]
        name = copy.description
        if pair.comparison is None:
            verdict = str(pair.judgement.verdict)
            yield FaultRow(model, copy.kind, copy.severity, name, True, verdict, verdict, pair.judgement.reasons[0])
            continue
        outputs = result.run.outputs(pair.candidate)
        shows = show(scratch / f"{number}.onnx", inputs, outputs, arbiter)
        verdict, reason = deltann_says(pair)
        other = polygraphy_says(outputs, result.run.outputs(pair.reference))
        yield FaultRow(model, copy.kind, copy.severity, name, shows, verdict, other, reason)


def show(copy: Path, inputs: Arrays, outputs: Arrays, arbiter: Arbitration) -> bool:
    """Whether the copy in float64 is further from the sound model in float64 than float32 is, in any output."""
    rows = arbiter.samples
    rounding = {name: apart(arbiter.float32[name], arbiter.float64[name]) for name in arbiter.float64}
    if any(apart(outputs[name][rows], arbiter.float64[name]) > CLEAR * rounding[name] for name in rounding):
        return True
    exact = in_float64(copy, {name: array[rows] for name, array in inputs.items()})
    return any(apart(exact[name], arbiter.float64[name]) > rounding[name] for name in rounding)


def apart(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Root mean square of the difference; infinite where it is not finite."""
    distance = float(np.sqrt(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)))
    return distance if np.isfinite(distance) else float("inf")


def in_float64(path: Path, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
    """The outputs of a model in float64, one sample after the other."""
    backend = registry.get(EXACT.backend)
    model = bind(load_model(path), {}, 1).model
    with tempfile.TemporaryDirectory() as folder:
        artifact = backend.lower(model, EXACT, Path(folder))
        with backend.load(artifact, EXACT) as executable:
            count = len(next(iter(inputs.values())))
            runs = [executable.run({name: array[i : i + 1] for name, array in inputs.items()}) for i in range(count)]
            return {name: np.concatenate([np.asarray(run[name]) for run in runs]) for name in runs[0]}


def faithful(model: str, batch: int, scratch: Path) -> Iterator[FaithfulRow]:
    """Run the model as it is under every environment, and judge every pair."""
    path = DATA / "models" / f"{model}.onnx"
    inputs = photographs(path, *MODELS[model])
    result = deltann.compare(path, list(FAITHFUL), inputs=inputs, batch_size=batch, out=scratch / "run")
    tell_failures(result)
    for pair in result.compared:
        if pair.comparison is None or not pair.judged:
            continue
        verdict, reason = deltann_says(pair)
        other = polygraphy_says(result.run.outputs(pair.candidate), result.run.outputs(pair.reference))
        candidate, reference = pair.candidate.environment, pair.reference.environment
        yield FaithfulRow(model, batch, candidate, reference, verdict, other, reason)


def tell_failures(result: Result) -> None:
    """Print which cells have no outputs: their pairs are not among the counted ones."""
    for record in result.records:
        if record.outcome.reason:
            print(f"  {record.cell}: {record.outcome.status}: {record.outcome.reason}")


def share(noticed: int, total: int) -> str:
    """A rate with its 95 % Wilson interval."""
    if not total:
        return "–"
    low, high = proportion_interval(noticed, total)
    return f"{noticed} of {total} ({noticed / total:.1%}; {low:.1%} – {high:.1%})"


def summary(broken: Sequence[FaultRow], sound: Sequence[FaithfulRow]) -> str:
    """The tables, in Markdown."""
    lines: list[str] = []
    seen = [row for row in broken if row.shows]
    differ = str(Verdict.DIFFER)

    def recall(rows: Sequence[FaultRow]) -> str:
        ours = share(sum(row.deltann == differ for row in rows), len(rows))
        return f"{ours} | {share(sum(row.polygraphy == differ for row in rows), len(rows))} |"

    if broken:
        lines += ["| faults noticed | severity | deltann | Polygraphy's defaults |", "|---|---|---|---|"]
        for kind in KINDS:
            for severity in SEVERITIES:
                rows = [row for row in seen if (row.kind, row.severity) == (kind, severity)]
                if rows:
                    lines.append(f"| {kind} | {severity:g} | {recall(rows)}")
        lines += [f"| **all** | | {recall(seen)}", ""]
        hidden = len(broken) - len(seen)
        lines.append(f"{len(broken)} faults made; {hidden} of them do not show in float64 on these inputs and are left")
        doubted = sum(row.deltann == str(Verdict.INCONCLUSIVE) for row in seen)
        lines.append(f"out above. Of those that show, deltann called {doubted} INCONCLUSIVE, which counts as missed.")
        alarms = sum(row.deltann == differ for row in broken if not row.shows)
        lines += [f"Of those that do not show, deltann called {alarms} DIFFER.", ""]
    if sound:
        lines += ["| faithful pairs called different | deltann | Polygraphy's defaults |", "|---|---|---|"]
        for batch in BATCHES:
            rows = [row for row in sound if row.batch == batch]
            if rows:
                lines.append(f"| {batch} a run | {alarmed(rows)}")
        lines += [f"| **all** | {alarmed(sound)}", ""]
        doubted = sum(row.deltann == str(Verdict.INCONCLUSIVE) for row in sound)
        lines += [f"deltann called {doubted} of {len(sound)} faithful pairs INCONCLUSIVE.", ""]
    return "\n".join(lines)


def alarmed(rows: Sequence[FaithfulRow]) -> str:
    """False alarms of both, as cells of a table."""
    counts = [sum(getattr(row, tool) == Verdict.DIFFER for row in rows) for tool in ("deltann", "polygraphy")]
    return " | ".join(share(count, len(rows)) for count in counts) + " |"


def write(path: Path, rows: Sequence[FaultRow] | Sequence[FaithfulRow]) -> None:
    """One line a row."""
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(field.name for field in fields(rows[0]))
        table.writerows(astuple(row) for row in rows)


def main() -> None:
    """Run both parts and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/seeded_faults"))
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--each", type=int, default=2, help="faults of a class at a severity in a model")
    parser.add_argument("--part", choices=("faults", "faithful"), help="one part alone")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"the shared models are not at {DATA}")
    G_LOGGER.module_severity = G_LOGGER.CRITICAL
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    models = arguments.models.split(",")
    broken: list[FaultRow] = []
    sound: list[FaithfulRow] = []
    jobs = [("faults", model, 1) for model in models]
    jobs += [("faithful", model, batch) for batch, those in BATCHES.items() for model in models if model in those]
    with registered(faulty="faulty_lowering:FaultyLowering"):
        for part, model, batch in jobs:
            if arguments.part not in (None, part):
                continue
            started = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                os.environ["DELTANN_CACHE"] = str(Path(folder) / "cache")
                if part == "faults":
                    broken += faults(model, arguments.each, Path(folder))
                else:
                    sound += faithful(model, batch, Path(folder))
            print(f"{part}, {model}, {batch} a run: {time.monotonic() - started:.0f} s", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    if broken:
        write(arguments.out / "faults.csv", broken)
    if sound:
        write(arguments.out / "faithful.csv", sound)
    text = summary(broken, sound)
    (arguments.out / "summary.md").write_text(text)
    print(text)
    for row in broken:
        if row.shows and row.deltann != Verdict.DIFFER:
            print("missed:", asdict(row))
    for pair in sound:
        if pair.deltann == Verdict.DIFFER:
            print("false alarm:", asdict(pair))


if __name__ == "__main__":
    main()
