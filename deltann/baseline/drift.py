"""How a run differs from what was accepted: entry by entry, and whether that is chance."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltann.baseline.change import Change, Direction, agreement_changes, cannot_tell, failure_changes, time_changes
from deltann.baseline.entries import Agreement, Entry, Failure, Time, entries, host_of, run_key
from deltann.baseline.file import Baseline, read_baseline, write_baseline
from deltann.baseline.nearby import Nearby, obsolete
from deltann.comparison.verdict import Verdict
from deltann.errors import UsageError
from deltann.outcome import Status
from deltann.report.text import printable
from deltann.timing.verdict import MARGIN, TimeVerdict

if TYPE_CHECKING:
    from deltann.report.contents import Contents


class Standing(StrEnum):
    """How an entry of a run stands to the baseline's.

    NEW: the baseline has none to compare with. SAME: whatever differs may be chance. CHANGED: other, and neither better
    nor worse.
    """

    WORSE = "WORSE"
    NEW = "NEW"
    CHANGED = "CHANGED"
    BETTER = "BETTER"
    SAME = "SAME"


@dataclass(frozen=True)
class Row:
    """An entry of the run beside the baseline's; `old` is None exactly where it is NEW, or a cell that had outputs.

    `changes`: (what, old, new), as text, of what differs by more than chance. `reasons`: one line each; of a time that
    is the SAME, that a change as large as the margin could not have been told. `agrees`: the entry is of a pair that
    agrees as a whole, though this output may prove nothing.
    """

    entry: Entry
    old: Entry | None
    standing: Standing
    changes: tuple[tuple[str, str, str], ...] = ()
    reasons: tuple[str, ...] = ()
    agrees: bool = False

    @property
    def accepted(self) -> bool:
        """Whether the baseline has what the run says, or what is no better."""
        return self.standing not in (Standing.WORSE, Standing.NEW)

    @property
    def lines(self) -> tuple[str, ...]:
        """`what: old → new` of each change, then the reasons."""
        return (*(f"{what}: {old} → {new}" for what, old, new in self.changes), *self.reasons)


@dataclass(frozen=True)
class Drift:
    """A run beside a baseline: `rows` are the run's entries, WORSE first; `obsolete` the baseline's that the run, of
    the same model and class of host, no longer has.

    `ci`: whether new entries fail until accepted. `updated`: the run was accepted, and the file has been written.
    `missing`: what of the run could not be read, so that nothing here says that all is well. `unkept`: the exit codes
    of what no entry can hold, such as times of a host of unknown class, which therefore nothing accepts.
    """

    path: Path
    rows: tuple[Row, ...]
    obsolete: tuple[Entry, ...]
    ci: bool
    updated: bool = False
    missing: tuple[str, ...] = ()
    unkept: tuple[int, ...] = ()

    def fails(self, row: Row) -> bool:
        """Whether one of the rows alone makes the exit code 1."""
        return not self.updated and (row.standing is Standing.WORSE or (self.ci and row.standing is Standing.NEW))

    def exit_code(self, own: int) -> int:
        """0 where all is as accepted, or better, or has just been accepted; 1 where an entry is WORSE, or NEW and `ci`.

        `own`: the run's code without a baseline. It decides what NEW entries come to where they do not fail as such,
        what no entry can hold, and of a run with parts missing.
        """
        if self.updated:
            return 0
        if any(map(self.fails, self.rows)):
            return 1
        if self.missing or not any(row.old for row in self.rows):
            return own
        new = [row for row in self.rows if row.standing is Standing.NEW and not row.agrees]
        codes = {*self.unkept, *(_code(row.entry.value) for row in new)}
        return next((code for code in (1, 3, 4) if own and code in codes), 0)

    def to_json(self) -> dict[str, Any]:
        """Plain data: path, ci, updated, rows (standing, entry, old, changes, reasons) and obsolete entries."""
        return {
            "path": str(self.path),
            "ci": self.ci,
            "updated": self.updated,
            "rows": [
                {
                    "standing": row.standing.value,
                    "entry": row.entry.to_json(),
                    "old": None if row.old is None else row.old.to_json(),
                    "changes": [{"what": what, "old": old, "new": new} for what, old, new in row.changes],
                    "reasons": list(row.reasons),
                }
                for row in self.rows
            ],
            "obsolete": [entry.to_json() for entry in self.obsolete],
        }


def drift(contents: Contents, path: Path) -> Drift:
    """Judge a run against the baseline at `path`.

    Raises:
        UsageError: there is no baseline, it cannot be read, or it is of another model of this name.
    """
    baseline, fresh = read_baseline(path), entries(contents)
    run = contents.result.run
    ours = run_key(run, host_of(run), run.cells[0])
    for entry in baseline.entries:
        if entry.key.model == ours.model and entry.key.sha256 != ours.sha256:
            raise UsageError(
                f"{baseline.line(entry)}: {printable(ours.model)} is sha256 {entry.key.sha256} there, and this run's "
                f"is {ours.sha256}; accept the new model by --update-baseline, or name another --baseline"
            )
    return _drift(contents, baseline, fresh)


def update(contents: Contents, path: Path) -> Drift:
    """Accept a run: write its entries to the baseline at `path`, which need not be there; the drift that it had.

    Entries of other models and of other classes of hosts stay, and so does the line of each entry that is the SAME: a
    diff shows what has changed, and small steps in one direction add up until they are seen. The obsolete go.

    Raises:
        UsageError: parts of the run are missing, the baseline cannot be read, or not be written.
    """
    if missing := contents.result.missing:
        raise UsageError(f"{path}: a run with parts missing cannot be accepted ({missing[0]}); run it again")
    baseline = read_baseline(path) if path.exists() else Baseline(path)
    found = _drift(contents, baseline, entries(contents))
    dropped = {entry.key for entry in (*found.obsolete, *(row.entry for row in found.rows))}
    kept = [entry for entry in baseline.entries if entry.key not in dropped]
    accepted = [row.old if row.old and row.standing is Standing.SAME else row.entry for row in found.rows]
    write_baseline(path, [*kept, *accepted])
    return replace(found, updated=True)


def _drift(contents: Contents, baseline: Baseline, fresh: Sequence[Entry]) -> Drift:
    old = {entry.key: entry for entry in baseline.entries}
    told, nearby = _Told.of(contents), Nearby.of(baseline)
    rows = [_row(entry, old.get(entry.key), nearby, told) for entry in fresh]
    missing = contents.result.missing
    return Drift(
        baseline.path,
        tuple(sorted(rows, key=lambda row: list(Standing).index(row.standing))),
        () if missing else obsolete(contents, baseline, fresh),
        ci=os.environ.get("CI", "").lower() in ("true", "1"),
        missing=missing,
        unkept=_unkept(contents, fresh),
    )


def _unkept(contents: Contents, fresh: Sequence[Entry]) -> tuple[int, ...]:
    """What the times come to of which there are no entries."""
    timing, codes = contents.timing, set()
    kept = {(entry.key.candidate, entry.key.reference) for entry in fresh if isinstance(entry.value, Time)}
    told = {name for pair in kept for name in pair}
    ran = {str(record.cell) for record in contents.result.records if record.outcome.status is Status.OK}
    for pair in timing.pairs if timing else ():
        if (pair.candidate, pair.reference) not in kept and {pair.candidate, pair.reference} <= ran:
            codes.add(_code(Time(pair.verdict, None)))
    for cell in timing.cells if timing else ():
        if cell.name in ran - told and cell.outcome.status is not Status.OK:
            codes.add(3)
    return tuple(sorted(codes - {0}))


@dataclass(frozen=True)
class _Told:
    """What the run says beside its entries: of cells, pairs and their outputs why; by what it is judged; who agrees."""

    reasons: Mapping[tuple[str, ...], str]
    atol: Mapping[tuple[str, ...], float]
    agree: frozenset[tuple[str, str]]
    margin: float

    @classmethod
    def of(cls, contents: Contents) -> _Told:
        reasons: dict[tuple[str, ...], str] = {}
        atol: dict[tuple[str, ...], float] = {}
        for record in contents.result.records:
            reasons[(str(record.cell),)] = record.outcome.reason
        for pair in contents.result.compared:
            sides = (str(pair.candidate), str(pair.reference))
            reasons[sides] = next(iter(pair.judgement.reasons), "")
            for name, judgement in pair.judgement.outputs.items():
                reasons[(*sides, "output", name)] = next(iter(judgement.reasons), "")
            for output in pair.comparison.outputs if pair.comparison else ():
                atol[(*sides, output.name)] = output.tolerance.atol if output.tolerance else 0.0
        timing = contents.timing
        for time in timing.pairs if timing else ():
            reasons[(time.candidate, time.reference, "time")] = next(iter(time.reasons), "")
        agree = frozenset(
            (str(pair.candidate), str(pair.reference))
            for pair in contents.result.compared
            if pair.judgement.verdict is Verdict.AGREE
        )
        return cls(reasons, atol, agree, MARGIN if timing is None else timing.options.margin)

    def why(self, entry: Entry) -> str:
        key = entry.key
        pair = tuple(name for name in (key.candidate, key.reference) if name is not None)
        if isinstance(entry.value, Time):
            return self.reasons.get((*pair, "time"), "")
        of_all = self.reasons.get(pair, "")
        return of_all if key.output is None else self.reasons.get((*pair, "output", key.output), of_all)


def _row(entry: Entry, old: Entry | None, nearby: Nearby, told: _Told) -> Row:
    key, why = entry.key, told.why(entry)
    match (None if old is None else old.value, entry.value):
        case (Agreement() as before, Agreement() as now):
            atol = told.atol.get((key.candidate, key.reference or "", key.output or ""), 0.0)
            changes = tuple(agreement_changes(before, now, atol))
        case (Time() as before, Time() as now):
            changes = tuple(time_changes(before, now, told.margin))
            if not changes and (blind := cannot_tell(before, now, told.margin)):
                return Row(entry, old, Standing.SAME, reasons=(blind,))
        case (Failure() as before, Failure() as now):
            changes = tuple(failure_changes(before, now))
        case _ if isinstance(entry.value, Failure) and nearby.gave_outputs(key):
            change = ("status", "gave outputs", str(entry.value))
            return Row(entry, None, Standing.WORSE, (change,), tuple(filter(None, (why,))))
        case _:
            both = (nearby.why_new(key), "" if _code(entry.value) == 0 else why)
            agrees = isinstance(entry.value, Agreement) and (key.candidate, key.reference) in told.agree
            return Row(entry, None, Standing.NEW, reasons=tuple(filter(None, both)), agrees=agrees)
    texts = tuple((change.what, change.old, change.new) for change in changes)
    reasons = [*(change.reason for change in changes), why if _verdict_changed(changes) else ""]
    return Row(entry, old, _standing(changes), texts, tuple(dict.fromkeys(filter(None, reasons))))


def _standing(changes: Sequence[Change]) -> Standing:
    directions = {change.direction for change in changes}
    if Direction.WORSE in directions:
        return Standing.WORSE
    if Direction.BETTER in directions:
        return Standing.BETTER
    return Standing.CHANGED if directions else Standing.SAME


def _verdict_changed(changes: Sequence[Change]) -> bool:
    what = {change.what for change in changes}
    return bool(what & {"verdict", "status", "time", "candidate while timed", "reference while timed"})


def _code(value: Agreement | Time | Failure) -> int:
    """The exit code that an entry comes to by itself."""
    if isinstance(value, Failure):
        return 3
    if value.verdict in (Verdict.DIFFER, TimeVerdict.REGRESSION):
        return 1
    if isinstance(value, Time) and any(end.status is not Status.OK for end in value.ended.values()):
        return 3
    return 4 if value.verdict in (Verdict.INCONCLUSIVE, TimeVerdict.INCONCLUSIVE) else 0
