"""What a baseline keeps of a run: a line a pair and output, one a timed pair, one a cell without outputs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from deltann.comparison.verdict import Verdict
from deltann.distributions import distributions, outside
from deltann.environment import Environment
from deltann.host import UNKNOWN_CLASS, accelerators_of, class_of
from deltann.outcome import Stage, Status, Symptom
from deltann.pairing import LeftOut
from deltann.timing.verdict import TimeVerdict

if TYPE_CHECKING:
    from deltann.report.contents import Contents
    from deltann.result import Result
    from deltann.store import Cell, Run
    from deltann.timing.estimate import Estimate
    from deltann.timing.stored import CellTime, Timing

DIGEST = 16
"""Hex digits kept of a sha256: enough to tell models and inputs apart, short enough for a diff."""
WITH = " + "
"""Between the class of a host and its accelerators."""


@dataclass(frozen=True)
class Key:
    """What an entry is of. Of two models, names, digests and batches are joined.

    `host`: the class of host, with the accelerator where one of the cells is on it. `reference` is None for a cell
    without outputs. `output` is None for a time, for a cell, and for a pair whose outputs could not be compared.
    `measured`: how the time of a pair was taken, such as `p50, batch 1`; None for what is no time.
    """

    model: str
    sha256: str
    inputs: str
    host: str
    candidate: str
    reference: str | None = None
    output: str | None = None
    measured: str | None = None

    @property
    def order(self) -> tuple[tuple[bool, str], ...]:
        """What a file is sorted by."""
        values = (self.model, self.sha256, self.inputs, self.host, self.candidate, self.reference, self.measured)
        return tuple((value is not None, value or "") for value in (*values, self.output))

    @property
    def title(self) -> str:
        """What it is of, for a table: `tvm-O3 : ort, logits`, `tvm-O3 : ort, time` or `tract`."""
        pair = self.candidate if self.reference is None else f"{self.candidate} : {self.reference}"
        what = "time" if self.measured is not None else self.output
        return pair if what is None else f"{pair}, {what}"


@dataclass(frozen=True)
class Agreement:
    """The verdict on one output of a pair, and how many of `samples` labels differ (None: it is no classification).

    `outside`: samples with an element outside the tolerance, or not finite. `p50`, `p99`, `max`: of the samples'
    largest |Δ|, in the output's unit; infinite where one side is not finite. All four are None where nothing was
    compared. `problems`: how many differences of structure it has, such as another shape, or that a side lacks it;
    where the entry is of no output, those of the pair.
    """

    verdict: Verdict
    samples: int
    disagreements: int | None = None
    p50: float | None = None
    p99: float | None = None
    max: float | None = None
    problems: int = 0
    outside: int | None = None

    def __str__(self) -> str:
        labels = None if self.disagreements is None else f"{self.disagreements} of {self.samples} labels differ"
        off = f"{self.outside} of {self.samples} samples outside the tolerance" if self.outside else None
        errors = None if self.max is None else f"|Δ| p50 {self.p50:.2g}, p99 {self.p99:.2g}, max {self.max:.2g}"
        other = f"{self.problems} differences of structure" if self.problems else None
        return ", ".join(filter(None, (self.verdict.value, labels, off, errors, other)))


@dataclass(frozen=True)
class Failure:
    """How a cell ended that gave no outputs; or that gave wrong ones while it was timed, which is an OK MISMATCH."""

    status: Status
    stage: Stage | None = None
    symptom: Symptom | None = None

    def __str__(self) -> str:
        if self.status is Status.OK:
            return "gave wrong answers"
        return " ".join(filter(None, (self.status, self.symptom, f"while {self.stage}" if self.stage else "")))

    def to_json(self) -> dict[str, Any]:
        """Plain data: status, stage, symptom."""
        stage, symptom = self.stage and self.stage.value, self.symptom and self.symptom.value
        return {"status": self.status.value, "stage": stage, "symptom": symptom}


WRONG = Failure(Status.OK, None, Symptom.MISMATCH)


@dataclass(frozen=True)
class Time:
    """time of the candidate / time of the reference, with the 95 % interval; None where the run could not tell.

    `candidate`, `reference`: how that side ended where it failed while it was timed, or gave wrong answers.
    """

    verdict: TimeVerdict
    ratio: tuple[float, float, float] | None
    """(ratio, low, high)"""
    candidate: Failure | None = None
    reference: Failure | None = None

    @property
    def ended(self) -> dict[str, Failure]:
        """By the side, how it ended; empty where both came through."""
        sides = {"candidate": self.candidate, "reference": self.reference}
        return {side: failure for side, failure in sides.items() if failure is not None}

    def __str__(self) -> str:
        told = [f"{side} {failure}" for side, failure in self.ended.items()]
        if self.ratio is None:
            return ", ".join((self.verdict.value, *(told or ["not known"])))
        ratio, low, high = self.ratio
        return ", ".join((self.verdict.value, f"{ratio:.4g} [{low:.4g}, {high:.4g}]", *told))


@dataclass(frozen=True)
class Entry:
    """A line of a baseline; `str(entry.value)` tells it, `entry.key.title` says of what."""

    key: Key
    value: Agreement | Time | Failure

    def to_json(self) -> dict[str, Any]:
        """Plain data, the keys in the order of the file: those of what it is of, then those of what it says.

        `output` (perhaps null) marks an agreement, `measured` a time, `status` a cell. An infinite error is "inf";
        `problems` is there where it is not 0, and `ended` where a side failed while it was timed.
        """
        key, value = self.key, self.value
        data: dict[str, Any] = {"model": key.model, "sha256": key.sha256, "inputs": key.inputs, "host": key.host}
        data["candidate"] = key.candidate
        if isinstance(value, Failure):
            return {**data, **value.to_json()}
        data["reference"] = key.reference
        if isinstance(value, Time):
            ratio = None if value.ratio is None else list(value.ratio)
            ended = {"ended": {side: one.to_json() for side, one in value.ended.items()}} if value.ended else {}
            return {**data, "measured": key.measured, "verdict": value.verdict.value, "ratio": ratio, **ended}
        errors = {"p50": _infinite(value.p50), "p99": _infinite(value.p99), "max": _infinite(value.max)}
        counts: dict[str, Any] = {"samples": value.samples, "disagreements": value.disagreements}
        counts["outside"] = value.outside
        problems = {"problems": value.problems} if value.problems else {}
        return {**data, "output": key.output, "verdict": value.verdict.value, **counts, **errors, **problems}


def entries(contents: Contents) -> tuple[Entry, ...]:
    """What a baseline would keep of a run, sorted; of a cell that has not run it keeps nothing.

    Numbers are rounded as they are written, so that a run never differs from its own baseline.
    """
    found = [*_agreements(contents.result), *_failures(contents.result)]
    found += _times(contents.timing, contents.result) if contents.timing is not None else []
    return tuple(sorted(found, key=lambda entry: entry.key.order))


def run_key(run: Run, described: Mapping[str, Any], *cells: Cell) -> Key:
    """The key of a cell, or of (candidate, reference), of a run on the host that `described` describes."""
    roles = list(run.models)
    devices = {device for cell in cells if (device := accelerator(cell.environment))}
    on = sorted(set(accelerators_of(described)) or devices) if devices else []
    return Key(
        model=" against ".join(model.name for model in run.models.values()),
        sha256="+".join(model.sha256[:DIGEST] for model in run.models.values()),
        inputs="+".join(run.document["inputs"]["digest"][role][:DIGEST] for role in roles),
        host=WITH.join((class_of(described), *on)),
        candidate=str(cells[0]),
        reference=str(cells[1]) if len(cells) > 1 else None,
    )


def host_of(run: Run) -> Mapping[str, Any]:
    """What the run says of the host that made it; nothing where it says something else."""
    described = run.document.get("host")
    return described if isinstance(described, Mapping) else {}


def accelerator(spec: str) -> str | None:
    """The device of an environment that is no processor, emulated ones included; None where it has none."""
    device = Environment.parse(spec).device
    return None if device is None or device.startswith(("cpu", "qemu")) else device


def _agreements(result: Result) -> Iterator[Entry]:
    run, samples = result.run, len(result.run.sample_names)
    spread = {(one.candidate, one.reference, one.output): one.distribution for one in distributions(result)}
    off = outside(result)
    for pair in result.compared:
        if pair.left_out is LeftOut.OTHER_REFERENCE or pair.judgement.verdict is Verdict.NOT_COMPARED:
            continue
        key = run_key(run, host_of(run), pair.candidate, pair.reference)
        whole, comparison = pair.judgement, pair.comparison
        outputs, lost = (comparison.outputs, comparison.lost) if comparison else ((), {})
        problems = len(comparison.problems) - len(lost) if comparison else 0
        if problems or not (outputs or lost):
            yield Entry(key, Agreement(whole.verdict, samples, problems=problems))
        for name in lost:
            yield Entry(replace(key, output=name), Agreement(Verdict.DIFFER, samples, problems=1))
        for output in outputs:
            which = (str(pair.candidate), str(pair.reference), output.name)
            found, labels = spread.get(which), output.classification
            verdict = whole.outputs[output.name].verdict if output.name in whole.outputs else whole.verdict
            rows = labels.samples if labels else found.samples if found else samples
            count = None if labels is None else labels.disagreements
            value = Agreement(verdict, rows, count, problems=len(output.problems), outside=off.get(which))
            if found is not None:
                p50, p99, largest = map(_rounded, (found.p50, found.p99, found.max))
                value = replace(value, p50=p50, p99=p99, max=largest)
            yield Entry(replace(key, output=output.name), value)


def _times(timing: Timing, result: Result) -> Iterator[Entry]:
    """None of a host of unknown class: there is no telling which other host they might be compared with."""
    run, options = timing.run, timing.options
    if class_of(timing.host) == UNKNOWN_CLASS:
        return
    ok = {str(record.cell) for record in result.records if record.outcome.status is Status.OK}
    cells = {str(cell): cell for cell in run.cells}
    ended = {cell.name: _ended(cell) for cell in timing.cells}
    batch = "+".join(str(rows) for rows in run.document["rows"].values())
    pinned = f", pinned to {len(options.pin)}" if options.pin else ""
    for pair in timing.pairs:
        if not {pair.candidate, pair.reference} <= ok:
            continue  # the cell's own entry says why there is no time
        key = run_key(run, timing.host, cells[pair.candidate], cells[pair.reference])
        measured = f"p{options.percentile:g}, batch {batch}{pinned}"
        sides = (ended[pair.candidate], ended[pair.reference])
        yield Entry(replace(key, measured=measured), Time(pair.verdict, _ratio(pair.estimate), *sides))


def _ended(cell: CellTime) -> Failure | None:
    """How a cell with outputs failed while it was timed, or that it gave wrong answers then."""
    outcome = cell.outcome
    if outcome.status is not Status.OK:
        return Failure(outcome.status, outcome.stage, outcome.symptom)
    return WRONG if cell.invalid else None


def _ratio(estimate: Estimate | None) -> tuple[float, float, float] | None:
    if estimate is None or estimate.enough is not None:
        return None
    ratio, low, high = (_rounded(1 + value, 4) for value in (estimate.slowdown, estimate.low, estimate.high))
    return (ratio, low, high) if 0 < low <= ratio <= high < math.inf else None


def _failures(result: Result) -> Iterator[Entry]:
    for record in result.records:
        status = record.outcome.status
        if status not in (Status.OK, Status.NOT_RUN):
            key = run_key(result.run, host_of(result.run), record.cell)
            yield Entry(key, Failure(status, record.outcome.stage, record.outcome.symptom))


def _rounded(number: float, digits: int = 2) -> float:
    return float(f"{number:.{digits}g}")


def _infinite(number: float | None) -> float | str | None:
    return "inf" if number is not None and math.isinf(number) else number
