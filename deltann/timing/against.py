"""The times of another day or host beside these: for information, since nothing ran side by side."""

from __future__ import annotations

from dataclasses import dataclass

from deltann.errors import UsageError
from deltann.store import Run
from deltann.timing.stored import Timing, timing


@dataclass(frozen=True)
class Then:
    """An environment that both runs have: milliseconds a sample then and now.

    `slowdown_then`, `slowdown_now`: against the same reference environment, each measured side by side with it; their
    comparison survives another host better than milliseconds do. None for the reference itself, or where the two runs
    have different ones.
    """

    name: str
    ms_then: float
    ms_now: float
    slowdown_then: float | None
    slowdown_now: float | None

    @property
    def change(self) -> float | None:
        """(1 + slowdown now) / (1 + slowdown then) − 1."""
        if self.slowdown_then is None or self.slowdown_now is None:
            return None
        return (1 + self.slowdown_now) / (1 + self.slowdown_then) - 1


@dataclass(frozen=True)
class Against:
    """The other run's times, and what both have; `reference` is that of both, None where they differ."""

    other: Timing
    reference: str | None
    rows: tuple[Then, ...]


def against(now: Timing, other: Run) -> Against:
    """Put the times of `other` beside those of `now`.

    Raises:
        UsageError: `other` holds no times, or is of another model, batch or percentile.
    """
    check_same_model(now.run, other)
    then = timing(other, percentile=now.options.percentile)
    if then is None:
        raise UsageError(
            f"--against {other.folder}: it holds no times; make them by deltann bench --out {other.folder}"
        )
    before = {cell.name: cell for cell in then.cells}
    references = [{pair.reference for pair in times.pairs} for times in (now, then)]
    same = references[0] == references[1] and len(references[0]) == 1
    rows = []
    for cell in now.cells:
        old = before.get(cell.name)
        if old is not None and old.ms is not None and cell.ms is not None and not (old.invalid or cell.invalid):
            slowdowns = (_slowdown(then, cell.name), _slowdown(now, cell.name)) if same else (None, None)
            rows.append(Then(cell.name, old.ms, cell.ms, *slowdowns))
    return Against(then, next(iter(references[0])) if same else None, tuple(rows))


def check_same_model(now: Run, other: Run) -> None:
    """Raise UsageError where the two runs' times are of different work."""
    digests = [{role: model.sha256 for role, model in run.models.items()} for run in (now, other)]
    if digests[0] != digests[1]:
        names = ", ".join(model.name for model in other.models.values())
        raise UsageError(f"--against {other.folder}: it is of another model ({names}); give a run of this one")
    shapes = [{role: model.inputs for role, model in run.models.items()} for run in (now, other)]
    if shapes[0] != shapes[1] or now.document["rows"] != other.document["rows"]:
        raise UsageError(f"--against {other.folder}: its inputs have other shapes, or another --batch-size")


def _slowdown(times: Timing, name: str) -> float | None:
    found = [pair.estimate for pair in times.pairs if pair.candidate == name]
    return None if not found or found[0] is None or found[0].enough is not None else found[0].slowdown
