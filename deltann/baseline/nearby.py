"""What a baseline has beside a run's own entries: their nearest relatives, and what the run no longer has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deltann.baseline.entries import WITH, Agreement, Entry, Failure, Key, Time, host_of, run_key
from deltann.baseline.file import Baseline
from deltann.host import class_of

if TYPE_CHECKING:
    from deltann.report.contents import Contents


@dataclass(frozen=True)
class Nearby:
    """A baseline, by what an entry that it lacks may be near to.

    `models`: the names it knows. `inputs`, `measured`, `hosts`: its keys, by themselves without that part. `failed`: by
    (model, host, cell) how a cell had ended. `worked`: what cells are in pairs of, as of `_worked`.
    """

    models: frozenset[str]
    inputs: Mapping[Key, str]
    measured: Mapping[Key, str | None]
    hosts: Mapping[Key, Sequence[str]]
    failed: Mapping[tuple[str, str, str], Failure]
    worked: frozenset[tuple[str, ...]]

    @classmethod
    def of(cls, baseline: Baseline) -> Nearby:
        """Sort the entries."""
        keys = [entry.key for entry in baseline.entries]
        hosts: dict[Key, list[str]] = {}
        for key in keys:
            hosts.setdefault(replace(key, host=""), []).append(key.host)
        pairs = [entry.key for entry in baseline.entries if isinstance(entry.value, Agreement)]
        return cls(
            models=frozenset(key.model for key in keys),
            inputs={replace(key, inputs=""): key.inputs for key in keys},
            measured={replace(key, measured=""): key.measured for key in keys},
            hosts=hosts,
            failed={
                (entry.key.model, entry.key.host, entry.key.candidate): entry.value
                for entry in baseline.entries
                if isinstance(entry.value, Failure)
            },
            worked=frozenset(_worked(key, cell) for key in pairs for cell in (key.candidate, key.reference)),
        )

    def gave_outputs(self, key: Key) -> bool:
        """Whether the cell was in a pair on this kind of host, its accelerator aside: no driver, no name."""
        return _worked(key, key.candidate) in self.worked

    def why_new(self, key: Key) -> str:
        """What the baseline has that is nearest to an entry that it lacks; empty where nothing is near."""
        if key.model not in self.models:
            return f"nothing of {key.model} was accepted"
        if other := self.inputs.get(replace(key, inputs="")):
            return f"accepted on other inputs ({other}, here {key.inputs})"
        if key.measured is not None and (other := self.measured.get(replace(key, measured=""))):
            return f"its time was accepted as {other}, and is {key.measured} here"
        if hosts := self.hosts.get(replace(key, host="")):
            return f"accepted on {' and '.join(sorted(hosts))}; this is {key.host}"
        for cell in filter(None, (key.candidate, key.reference)):
            if then := self.failed.get((key.model, key.host, cell)):
                return f"{cell} gave no outputs then ({then})"
        return ""


def obsolete(contents: Contents, baseline: Baseline, fresh: Sequence[Entry]) -> tuple[Entry, ...]:
    """Entries of this model, and of this kind of host, that the run has not; and all of the name's other model.

    Times of a run that was not timed say nothing, so those of pairs that it has stay.
    """
    run = contents.result.run
    ours = run_key(run, host_of(run), run.cells[0])
    keys, cells = {entry.key for entry in fresh}, {str(cell) for cell in run.cells}
    timed = {entry.key.host for entry in fresh if isinstance(entry.value, Time)}
    hosts = {class_of(host_of(run))} | {entry.key.host for entry in fresh if not isinstance(entry.value, Time)}

    def gone(key: Key, time: bool) -> bool:
        if key.model != ours.model or key in keys:
            return False
        if key.sha256 != ours.sha256:
            return True
        if not time or contents.timing is not None:
            return key.host in (timed if time else hosts)
        still = key.inputs == ours.inputs and {key.candidate, key.reference} <= cells
        return key.host in hosts and not still

    return tuple(entry for entry in baseline.entries if gone(entry.key, isinstance(entry.value, Time)))


def _worked(key: Key, cell: str | None) -> tuple[str, ...]:
    return key.model, key.sha256, key.inputs, key.host.split(WITH)[0], cell or ""
