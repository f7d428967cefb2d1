"""What can still be shown of a run that did not end, is damaged, or is of a newer schema; and what cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from deltann.comparison.verdict import Judgement, Verdict
from deltann.errors import UsageError, one_line
from deltann.evidence.stored import PARTS, repeats
from deltann.inside import LeadsOut, check_inside
from deltann.judging import Pair
from deltann.outcome import Outcome, Status
from deltann.store import TABLES, Cell, CellRecord, Lost, Run, RunStatus


def salvage(run: Run) -> tuple[Run, tuple[str, ...]]:
    """`run` with something harmless in place of each part that cannot be read, and a line on each of those parts."""
    missing = [run.lost.newer] if run.lost.newer else []
    if run.status is not RunStatus.COMPLETE:
        missing.append(f"the run is {run.status}, not complete; to go on, repeat its command with --out {run.folder}")
    records = {cell: _record(run, cell) for cell in run.cells}
    cells = {cell: record for cell, record in records.items() if record.outcome.status is Status.NOT_RUN}
    missing += [f"{cell}: {record.outcome.reason}" for cell, record in cells.items()]
    run = replace(run, lost=replace(run.lost, cells=cells))
    evidence = _evidence(run, [cell for cell, record in records.items() if record.outcome.status is Status.OK])
    missing += [f"{part} of {whose}: {why}" for (part, whose), why in evidence.items()]
    return replace(run, lost=replace(run.lost, evidence=evidence)), (*missing, *_tables(run))


def doubted(pairs: Sequence[Pair], lost: Lost) -> tuple[Pair, ...]:
    """The pairs with no AGREE that rests on evidence which is lost, or on a run that is only half understood.

    A DIFFER stays one, and says that what might have explained it is lost.
    """
    judged = []
    for pair in pairs:
        sides = {str(whose) for cell in (pair.candidate, pair.reference) for whose in (cell, cell.role)}
        whys = [lost.newer] if lost.newer else []
        whys += [f"{part} of {whose}: {why}" for (part, whose), why in lost.evidence.items() if whose in sides]
        if whys and pair.judgement.verdict is not Verdict.NOT_COMPARED:
            pair = replace(pair, judgement=_doubted(pair.judgement, whys))
        judged.append(pair)
    return tuple(judged)


def _doubted(judgement: Judgement, whys: Sequence[str]) -> Judgement:
    """A judgement with its doubts, of the whole and of each output: first where they decide."""
    outputs = {name: _doubted(one, whys) for name, one in judgement.outputs.items()}
    if judgement.verdict is Verdict.AGREE:
        return Judgement(Verdict.INCONCLUSIVE, (*whys, *judgement.reasons), outputs)
    return Judgement(judgement.verdict, (*judgement.reasons, *whys), outputs)


def _record(run: Run, cell: Cell) -> CellRecord:
    """How the cell ended; NOT_RUN where that, or what it gave, cannot be read."""
    try:
        record = run.record(cell)
    except UsageError as error:
        return CellRecord(cell, Outcome(Status.NOT_RUN, reason=f"its record is damaged ({_why(error)})"))
    if record.outcome.status is Status.NOT_RUN and run.status is RunStatus.COMPLETE:
        return replace(record, outcome=Outcome(Status.NOT_RUN, reason="its record is missing"))
    if record.outcome.status is Status.OK:
        try:
            run.outputs(cell)
        except UsageError as error:
            reason = f"its outputs are missing or damaged ({_why(error)})"
            return replace(record, outcome=Outcome(Status.NOT_RUN, reason=reason))
    return record


def _evidence(run: Run, ok: list[Cell]) -> dict[tuple[str, str], str]:
    """Why there is none, by `Lost.evidence`'s keys; `ok`: the cells that have outputs."""
    found: dict[tuple[str, str], str] = {}
    for role in run.models:
        for part, read in PARTS.items():
            try:
                read(run, role)
            except UsageError as error:
                found[part, role] = f"missing or damaged ({_why(error)})"
    for cell in ok:
        try:
            repeats(run, cell)
        except UsageError as error:
            found["noise", str(cell)] = f"missing or damaged ({_why(error)})"
    return found


def _tables(run: Run) -> list[str]:
    """What of the tables is missing or does not read; reports need none of them, but those who made the run may."""
    import pyarrow as pa
    from pyarrow import parquet

    missing = []
    for name in TABLES:
        file = run.folder / name
        if not file.exists() and name not in run.document.get("tables", ()):
            continue
        try:
            check_inside(run.folder, file)
            for _ in parquet.ParquetFile(file).iter_batches():
                pass
        except (OSError, LeadsOut, pa.ArrowException) as error:
            missing.append(f"{name}: missing or damaged ({one_line(str(error))})")
    return missing


def _why(error: UsageError) -> str:
    """The cause, without the advice."""
    return one_line(str(error.__cause__ or error), 200)
