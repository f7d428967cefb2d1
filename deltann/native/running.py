"""The cell `native`: the object run in this process, on the samples that every worker reads, stored as theirs are."""

from __future__ import annotations

import errno
import shutil
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from deltann.errors import Unsupported, one_line
from deltann.evidence.places import repeats_folder
from deltann.evidence.repeats import ORDERS
from deltann.native import NATIVE, Native
from deltann.native.exporting import Exported
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.runner.batches import Batches
from deltann.runner.cell import Work
from deltann.runner.cells import Listener
from deltann.runner.outputs import OutputWriter
from deltann.store import Cell, CellRecord, Run

CELL = Cell(NATIVE)
_NOTE = "run in this process as it is, and never timed by bench; where it alone differs, the export changed the model"


def run_native(run: Run, exported: Exported, work: Work, repeated: int, listener: Listener) -> None:
    """Run every sample that is not stored yet, then the first `repeated` ones again; what happens is its outcome.

    There is no deadline and no limit of memory: this process is the user's own.

    Raises:
        OSError: the disk is full.
    """
    if run.record(CELL).outcome.status is not Status.NOT_RUN:
        return
    native = exported.native
    batches = Batches(work.arrays, work.samples, work.rows, work.batched)
    writer = _writer(run.outputs_folder(CELL), work, work.samples)
    numbers = range(writer.next_run, len(batches))

    def told(done: int) -> None:
        listener(NATIVE, Stage.RUN, min(done * work.rows, work.samples), work.samples)

    told(writer.next_run)
    outcome = _run(native, batches, numbers, writer, told)
    note = "; ".join(filter(None, (native.actual.get("note"), _NOTE)))
    facts: dict[str, Any] = {
        "version": native.version,
        "backend": exported.backend,
        "actual": {**native.actual, "note": note},
    }
    if repeated and outcome.status is Status.OK:
        samples = min(work.samples, -(-repeated // work.rows) * work.rows)
        facts |= {"repeated": samples, "repeat_failed": _repeat(run, native, batches, work, samples)}
    run.save_record(CellRecord(CELL, outcome, facts))
    listener(NATIVE, outcome.status, work.samples, work.samples)


def _repeat(run: Run, native: Native, batches: Batches, work: Work, samples: int) -> str | None:
    """As `deltann.evidence.repeats.repeat`, without a worker."""
    for number, backwards in enumerate(ORDERS, 1):
        folder = repeats_folder(run, CELL) / str(number)
        shutil.rmtree(folder, ignore_errors=True)
        numbers = range(-(-samples // work.rows))
        outcome = _run(native, batches, numbers[::-1] if backwards else numbers, _writer(folder, work, samples))
        if outcome.status is not Status.OK:
            return f"run again, it failed: {outcome.reason}"
    return None


def _writer(folder: Path, work: Work, samples: int) -> OutputWriter:
    return OutputWriter(folder, samples, work.rows, work.batched)


def _run(
    native: Native,
    batches: Batches,
    numbers: Iterable[int],
    writer: OutputWriter,
    told: Callable[[int], None] = lambda _: None,
) -> Outcome:
    try:
        for number in numbers:
            feeds = batches[number]
            started = time.perf_counter()
            outputs = native.run(feeds)
            writer.write(number, outputs, time.perf_counter() - started)
            told(number + 1)
    except Unsupported as error:
        return Outcome(Status.UNSUPPORTED, Stage.RUN, None, str(error), str(error))
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        memory = isinstance(error, MemoryError) or "out of memory" in str(error).lower()
        symptom = Symptom.OUT_OF_MEMORY if memory else Symptom.EXCEPTION
        reason = f"{type(error).__name__}: {one_line(str(error))}"
        return Outcome(Status.FAILED, Stage.RUN, symptom, reason, "".join(traceback.format_exception(error)))
    return Outcome(Status.OK, Stage.RUN)
