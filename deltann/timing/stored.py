"""Stored times, judged: a pure function of a run's folder and of the criteria."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np

from deltann.comparison.verdict import Verdict
from deltann.errors import UsageError, one_line
from deltann.inside import LeadsOut, check_inside
from deltann.outcome import Outcome, Status, Symptom
from deltann.store import Run
from deltann.timing.calibration import Calibration
from deltann.timing.estimate import Estimate, slowdown
from deltann.timing.options import Options
from deltann.timing.pairs import pairs_of, series_of, timed
from deltann.timing.rounds import DAMAGE, Checks, Round, checks, failures, load_rounds
from deltann.timing.series import FEWEST_ROUNDS
from deltann.timing.verdict import Pair, TimeJudgement, TimeVerdict, judge_times

if TYPE_CHECKING:
    from deltann.result import Result

SCHEMA = 1


@dataclass(frozen=True)
class CellTime:
    """What is known of one environment; numbers over its rounds are medians, None where there are none.

    `ms`: milliseconds a sample, the percentile asked for of each slice. `first_ms`: of the first inference, a run.
    `outcome`: how it ended in the comparison, or while it was timed. `invalid`: why its times stand for nothing.
    """

    name: str
    outcome: Outcome
    version: str
    rounds: int
    ms: float | None
    load_s: float | None
    first_ms: float | None
    peak_memory: int | None
    artifact_bytes: int | None
    checks: Checks

    @property
    def invalid(self) -> str | None:
        """Why its times stand for nothing."""
        return self.checks.invalid


@dataclass(frozen=True)
class PairTime:
    """slowdown = time of the candidate / time of the reference − 1, and what it comes to.

    `estimate` is None where one of them has no times. `outputs`: the comparison's verdict on the two.
    """

    candidate: str
    reference: str
    verdict: TimeVerdict
    reasons: tuple[str, ...]
    estimate: Estimate | None
    confirmation: Estimate | None
    adjusted: float | None
    outputs: Verdict

    @property
    def symptom(self) -> Symptom | None:
        """SLOWDOWN of the candidate, where the times say so."""
        return Symptom.SLOWDOWN if self.verdict is TimeVerdict.REGRESSION else None


@dataclass(frozen=True)
class Timing:
    """The times of a run, judged. `calibration` is what this machine's A/A said when they were taken, if it did."""

    run: Run
    options: Options
    host: Mapping[str, Any]
    created: str
    complete: bool
    rounds: tuple[Round, ...]
    cells: tuple[CellTime, ...]
    pairs: tuple[PairTime, ...]
    calibration: Calibration | None
    calibrated_by: Mapping[str, Any]

    @property
    def missing(self) -> tuple[str, ...]:
        """What these times lack, a line each: that they did not come to their end."""
        if self.complete:
            return ()
        return (f"the times: measuring did not end; to go on: deltann bench --out {self.run.folder}",)

    @property
    def verdict(self) -> TimeVerdict:
        """The worst: a REGRESSION, else INCONCLUSIVE; EQUIVALENT before IMPROVED."""
        found = [pair.verdict for pair in self.pairs]
        order = (TimeVerdict.REGRESSION, TimeVerdict.INCONCLUSIVE, TimeVerdict.EQUIVALENT, TimeVerdict.IMPROVED)
        return next((verdict for verdict in order if verdict in found), TimeVerdict.INCONCLUSIVE)

    @property
    def exit_code(self) -> int:
        """0 none slower, 1 a regression or outputs that differ, 3 a backend failed, 4 inconclusive."""
        if self.verdict is TimeVerdict.REGRESSION or any(pair.outputs is Verdict.DIFFER for pair in self.pairs):
            return 1
        if any(cell.outcome.status not in (Status.OK, Status.NOT_RUN) for cell in self.cells):
            return 3
        return 4 if self.verdict is TimeVerdict.INCONCLUSIVE else 0

    @cached_property
    def took_s(self) -> float:
        """Seconds that measuring took."""
        return sum(round_.took_s for round_ in self.rounds)


def timing_folder(run: Run) -> Path:
    """Where a run's times are."""
    return run.folder / "timing"


def document_of(run: Run) -> dict[str, Any] | None:
    """`timing.json`; None where the run was not timed.

    Raises:
        UsageError: it is damaged, or of a newer schema, or a link among the times leads out of the run.
    """
    path = timing_folder(run) / "timing.json"
    try:
        # All of them before any is read, since they are added to as well.
        check_inside(run.folder, path.parent, *path.parent.rglob("*"))
    except (OSError, LeadsOut) as error:
        raise UsageError(
            f"{path.parent}: refused ({one_line(str(error))}); choose another run, or another --out"
        ) from error
    if not path.is_file():
        return None
    try:
        data = dict(json.loads(path.read_text()))
        Options.from_json(data["options"])
        if data["calibration"] is not None:
            Calibration.from_json(data["calibration"]["calibration"])
        if not isinstance(data["complete"], bool) or not isinstance(data["host"], dict):
            raise TypeError("'complete' or 'host' is something else")
        if type(data.get("rounds")) not in (int, NoneType) or (data.get("rounds") or 0) < 0:
            raise TypeError("'rounds' is no number of them")
        schema, _ = int(data["schema"]), str(data["created"])
    except (*DAMAGE, UsageError) as error:
        raise UsageError(f"{path}: damaged ({one_line(str(error))}); measure again") from error
    if schema > SCHEMA:
        raise UsageError(f"{path}: schema {schema} is newer than this deltann reads ({SCHEMA}); upgrade deltann")
    return data


def timing(
    run: Run,
    margin: float | str | None = None,
    percentile: float | None = None,
    reference: str | None = None,
    result: Result | None = None,
) -> Timing | None:
    """The times of `run`, judged as asked when they were taken, except for what is given here; None if it has none.

    `result`: the run's comparison, where it is known already.

    Raises:
        UsageError: what is stored is damaged, or gone, or a criterion cannot be read.
    """
    document = document_of(run)
    if document is None:
        # Every run that was timed says so, but for those of old, which have the rounds.
        if run.document.get("timed") or (timing_folder(run) / "rounds").is_dir():
            raise UsageError(f"{timing_folder(run) / 'timing.json'} is missing; measure again")
        return None
    options = Options.from_json(document["options"]).judged_by(margin, percentile, reference)
    rounds = load_rounds(timing_folder(run), document["complete"], document.get("rounds"))
    stored = document["calibration"] or {}
    calibration = Calibration.from_json(stored["calibration"]) if stored else None
    if calibration is not None and calibration.percentile != options.percentile:
        calibration = None
    pairs = pairs_of(run.cells, options.reference)
    cells = tuple(_cell(run, name, rounds, options.percentile) for name in map(str, timed(run.cells)))
    return Timing(
        run=run,
        options=options,
        host=document["host"],
        created=document["created"],
        complete=document["complete"],
        rounds=rounds,
        cells=cells,
        pairs=tuple(_judge(pairs, rounds, cells, options, calibration, _outputs(run, result), document["complete"])),
        calibration=calibration,
        calibrated_by={key: value for key, value in stored.items() if key != "calibration"},
    )


def partial_timing(run: Run, result: Result) -> tuple[Timing | None, tuple[str, ...]]:
    """The times of `run` where they can be read; a line that says what is wrong with them, or is not there."""
    try:
        found = timing(run, result=result)
    except UsageError as error:
        return None, (f"the times: {error}",)
    return found, found.missing if found else ()


def _cell(run: Run, name: str, rounds: Sequence[Round], percentile: float) -> CellTime:
    cell = next(cell for cell in run.cells if str(cell) == name)
    record = run.record(cell)
    found = [one for round_ in rounds for one in round_.measured if one.name == name]
    steady = [one.seconds for one in found if one.seconds.size]
    times = np.concatenate([np.percentile(s, percentile, axis=1) for s in steady]) if steady else np.empty(0)
    rows = run.document["rows"][cell.role]
    return CellTime(
        name=name,
        outcome=failures(rounds).get(name, record.outcome),
        version=str(record.facts.get("version", "")),
        rounds=len(steady),
        ms=float(np.median(times)) * 1e3 / rows if len(times) else None,
        load_s=_median([one.load_s for one in found]),
        first_ms=None if (first := _median([one.first_s for one in found])) is None else first * 1e3,
        peak_memory=_whole(_median([one.peak_memory for one in found])),
        artifact_bytes=_whole(_median([one.artifact_bytes for one in found])),
        checks=checks(rounds, name),
    )


def _judge(
    pairs: Sequence[Pair],
    rounds: Sequence[Round],
    cells: Sequence[CellTime],
    options: Options,
    calibration: Calibration | None,
    outputs: Mapping[frozenset[str], Verdict],
    complete: bool,
) -> list[PairTime]:
    by_name = {cell.name: cell for cell in cells}
    barred = {pair: why for pair in pairs if (why := _bar(by_name[pair[0]]) or _bar(by_name[pair[1]]))}
    measured, confirming = ([r for r in rounds if r.kind == kind] for kind in ("measure", "confirm"))
    estimates, confirmations = {}, {}
    for pair in pairs:
        if pair not in barred:
            candidate, reference = pair
            ours, theirs = series_of(measured, candidate), series_of(measured, reference)
            estimates[pair] = slowdown(ours, theirs, options.percentile)
            ours, theirs = series_of(confirming, candidate), series_of(confirming, reference)
            if ours.rounds and theirs.rounds:
                confirmations[pair] = slowdown(ours, theirs, options.percentile)
    rounds_done = max(FEWEST_ROUNDS, min((estimate.rounds for estimate in estimates.values()), default=0))
    detectable = None if calibration is None else calibration.detectable_with(rounds_done)
    judgements = judge_times(estimates, options.margin, detectable, confirmations) if estimates else {}
    found = []
    for pair in pairs:
        verdict = outputs.get(frozenset(pair), Verdict.NOT_COMPARED)
        if pair in barred:
            found.append(PairTime(*pair, TimeVerdict.INCONCLUSIVE, (barred[pair],), None, None, None, verdict))
            continue
        its = _qualified(judgements[pair], verdict, [by_name[name] for name in pair], complete)
        found.append(PairTime(*pair, its.verdict, its.reasons, its.estimate, its.confirmation, its.adjusted, verdict))
    return found


def _bar(cell: CellTime) -> str | None:
    """Why nothing can be said of an environment's times."""
    if cell.outcome.status is not Status.OK:
        return f"{cell.name} is {cell.outcome.status}"
    if cell.invalid:
        return f"{cell.name}: {cell.invalid}; how long wrong answers take says nothing"
    return None if cell.rounds else f"{cell.name} was not timed"


def _qualified(judgement: TimeJudgement, outputs: Verdict, cells: Sequence[CellTime], complete: bool) -> TimeJudgement:
    """Being as fast counts where answers were seen to be computed, and being faster where they are the same too.

    Neither counts before measuring has ended, which might have found otherwise.
    """
    if judgement.verdict not in (TimeVerdict.IMPROVED, TimeVerdict.EQUIVALENT):
        return judgement
    if not complete:
        reasons = (*judgement.reasons, "measuring did not end")
        return replace(judgement, verdict=TimeVerdict.INCONCLUSIVE, reasons=reasons)
    if blind := [cell.name for cell in cells if not cell.checks.tells]:
        reason = (
            f"{blind[0]}: with one batch of inputs, or outputs that are all the same, answers of an earlier run cannot "
            "be told from new ones; give inputs that differ"
        )
        return replace(judgement, verdict=TimeVerdict.INCONCLUSIVE, reasons=(*judgement.reasons, reason))
    if judgement.verdict is TimeVerdict.EQUIVALENT:
        return judgement
    if outputs is Verdict.DIFFER:
        return replace(judgement, reasons=(*judgement.reasons, "but its outputs differ"))
    if outputs is not Verdict.AGREE:
        return replace(judgement, reasons=(*judgement.reasons, "but its outputs were not shown to agree"))
    return judgement


def _outputs(run: Run, result: Result | None) -> dict[frozenset[str], Verdict]:
    """What the comparison says of each pair, whichever side is the candidate."""
    if result is None:
        from deltann.result import load

        result = load(run)
    return {frozenset((str(pair.candidate), str(pair.reference))): pair.judgement.verdict for pair in result.compared}


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return float(np.median(known)) if known else None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def rounds_short(timing: Timing) -> float | None:
    """Seconds that the fewest rounds would have taken, where there were not so many; None where there were."""
    took = [round_.took_s for round_ in timing.rounds if round_.kind == "measure"]
    return sum(took) / len(took) * FEWEST_ROUNDS if 0 < len(took) < FEWEST_ROUNDS else None
