"""Timing the cells of a finished comparison, stored beside it; the verdicts come of what is stored."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

from deltann import registry, store
from deltann.errors import UsageError
from deltann.host import host
from deltann.outcome import Status
from deltann.runner.cell import Limits
from deltann.runner.cells import Listener
from deltann.store import Run, RunStatus, write_json
from deltann.timing import machine
from deltann.timing.calibration import same_machine
from deltann.timing.estimate import Estimate, runs_needed, slowdown
from deltann.timing.inputs import stored_work
from deltann.timing.options import Options
from deltann.timing.pairs import pairs_of, series_of, timed
from deltann.timing.protocol import Contender, measure_round
from deltann.timing.rounds import Kind, checks, failures, load_rounds, save_round
from deltann.timing.series import FEWEST_ROUNDS
from deltann.timing.stored import SCHEMA, document_of, timing_folder
from deltann.timing.verdict import Pair, precise_enough, to_confirm

HOPELESS = 3.0
"""Times the budget: where the fewest rounds would take longer than this, measuring ends early and says so."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while measuring; the rounds that are whole are stored."""


def bench(run: Run, options: Options, limits: Limits, listener: Listener) -> Run:
    """Time every cell of `run` that has outputs, or go on with what was interrupted, and store it in RUN/timing.

    Returns the run, which says from then on that it was timed.

    Rounds follow one another until every pair's interval is narrow enough or the budget is spent, at least
    `FEWEST_ROUNDS` of them; then pairs that look different are measured once more, apart, in as many rounds.

    Raises:
        UsageError: the run is unfinished or was timed already, its inputs are gone, no such reference, an environment
            is no longer what was compared, or what was interrupted began on another machine.
        Interrupted: Ctrl-C.
    """
    if run.status is not RunStatus.COMPLETE:
        raise UsageError(f"{run.folder}: the comparison is {run.status}; it has to end before it is timed")
    pairs = pairs_of(run.cells, options.reference)
    if not pairs:
        raise UsageError(f"{run.folder}: one environment alone is as fast as itself: name a second backend")
    folder = timing_folder(run)
    with store.locked(run.folder):
        before = document_of(run)
        if before is not None and before["complete"]:
            raise UsageError(f"{run.folder} is timed already: judge it anew with --from, or choose another --out")
        if before is not None and Options.from_json(before["options"]) != options:
            raise UsageError(f"{run.folder} holds timings asked for with other options: choose another --out")
        if before is not None and not same_machine(before["host"], host()):
            raise UsageError(
                f"{run.folder} holds timings begun on another machine: go on there, or choose another --out"
            )
        document = before or {
            "schema": SCHEMA,
            "deltann": registry.own_version(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "options": options.to_json(),
            "host": host(),
            "calibration": machine.stored_calibration(host(), options.percentile),
            "complete": False,
        }
        contenders = _contenders(run)
        write_json(folder / "timing.json", document)
        measuring = _Measuring(run, options, limits, listener, contenders)
        try:
            measuring.measure(pairs)
            if flagged := to_confirm(measuring.estimates(pairs), options.margin):
                measuring.confirm(flagged)
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted; {len(measuring.rounds)} rounds are kept; to go on: deltann bench --out {run.folder}"
            ) from None
        except UsageError:
            if not measuring.rounds:
                (folder / "timing.json").unlink()  # or the run would count as timed in vain
            raise
        write_json(folder / "timing.json", {**document, "complete": True, "rounds": len(measuring.rounds)})
        return run.with_times()


def _contenders(run: Run) -> dict[str, Contender]:
    """By name, the cells that have outputs."""
    found = {}
    works = {role: stored_work(run, role) for role in run.models}
    for cell in timed(run.cells):
        record = run.record(cell)
        if record.outcome.status is Status.OK:
            log = timing_folder(run) / "logs" / f"{cell.folder}.log"
            found[str(cell)] = Contender(str(cell), cell, works[cell.role], run.outputs_folder(cell), log, record.facts)
    return found


class _Measuring:
    """Rounds done so far, and what decides whether there is another."""

    def __init__(
        self, run: Run, options: Options, limits: Limits, listener: Listener, contenders: Mapping[str, Contender]
    ) -> None:
        self._options, self._limits, self._listener = options, limits, listener
        self._contenders = contenders
        self._folder = timing_folder(run)
        self.rounds = list(load_rounds(self._folder))

    def measure(self, pairs: Sequence[Pair]) -> None:
        """Measure rounds until all `pairs` are known well enough, or the budget is spent, or none of them is left."""
        budget = self._options.budget
        while left := self._left(pairs):
            spent, rounds = self._spent("measure")
            if rounds >= FEWEST_ROUNDS:
                estimates = self.estimates(left).values()
                if all(precise_enough(estimate, self._options.margin) for estimate in estimates):
                    return
                if spent + spent / rounds > budget:
                    return
            elif rounds and spent / rounds * FEWEST_ROUNDS > HOPELESS * budget:
                return
            self._round("measure", left, max(0.0, budget - spent) / max(1, FEWEST_ROUNDS - rounds))

    def confirm(self, pairs: Sequence[Pair]) -> None:
        """Measure as many rounds again of `pairs` alone: a number settled before any of them is seen."""
        _, wanted = self._spent("measure")
        while (left := self._left(pairs)) and self._spent("confirm")[1] < wanted:
            self._round("confirm", left, self._options.budget / wanted)

    def estimates(self, pairs: Sequence[Pair]) -> dict[Pair, Estimate]:
        """Estimates of those pairs that can still be estimated."""
        rounds = [round_ for round_ in self.rounds if round_.kind == "measure"]
        percentile = self._options.percentile
        return {
            (ours, theirs): slowdown(series_of(rounds, ours), series_of(rounds, theirs), percentile)
            for ours, theirs in self._left(pairs)
        }

    def _spent(self, kind: Kind) -> tuple[float, int]:
        """Seconds and number of the rounds of that kind."""
        took = [round_.took_s for round_ in self.rounds if round_.kind == kind]
        return sum(took), len(took)

    def _left(self, pairs: Sequence[Pair]) -> list[Pair]:
        """The pairs of which both sides have outputs, never failed, and computed in each run what they should."""
        failed = failures(self.rounds)
        fit = {name for name in self._contenders if name not in failed and checks(self.rounds, name).invalid is None}
        return [pair for pair in pairs if fit.issuperset(pair)]

    def _round(self, kind: Kind, pairs: Sequence[Pair], share: float) -> None:
        number, budget = len(self.rounds), int(self._options.budget)
        spent, _ = self._spent(kind)
        began = time.monotonic()

        def notify(doing: str) -> None:
            self._listener("timing", doing, min(budget, int(spent + time.monotonic() - began)), budget)

        involved = [self._contenders[name] for name in self._contenders if any(name in pair for pair in pairs)]
        rng = np.random.default_rng([self._options.seed, number])
        runs = runs_needed(self._options.percentile)
        round_ = measure_round(kind, involved, self._limits, self._options.pin, rng, share, runs, notify)
        save_round(self._folder, number, round_)
        self.rounds.append(round_)
