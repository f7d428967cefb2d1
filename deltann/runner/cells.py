"""A run's cells: lowered two at a time, run one after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

from deltann.cache import cache_dir
from deltann.environment import Environment
from deltann.model import Model
from deltann.outcome import Status
from deltann.runner.cell import Begun, Limits, Work, begin, run_cell, samples_needed
from deltann.runner.spare import AT_ONCE
from deltann.store import Cell, Run

Listener = Callable[[str, str, int, int | None], None]
"""Called with (what, doing, done, total): `("ort-O1", "RUN", 12, 64)`; a total of None is not known.

While cells lower it is called from threads of theirs.
"""


@contextmanager
def ahead(
    cells: Sequence[Cell], models: Mapping[str, Model], limits: Limits, listener: Listener
) -> Iterator[Mapping[Cell, Begun]]:
    """The first of `cells`, begun before their run exists: their workers lower while the inputs are made.

    Their logs move to the run.
    """
    begun: dict[Cell, Begun] = {}
    with ExitStack() as ends:
        for number, cell in enumerate(cells[:AT_ONCE]):
            # A pinned version is first installed, which is not to be done for a request that may yet be refused; and
            # a cell that is calibrated needs the inputs.
            if Environment.parse(cell.environment).version is not None or samples_needed(cell, models[cell.role]):
                continue
            log = cache_dir() / "logs" / f"{os.getpid()}-{time.monotonic_ns()}-{number}.log"
            # Whoever writes the inputs there says what is wrong with the cache.
            with suppress(OSError):
                notify = partial(_notify, listener, str(cell), None)
                begun[cell] = ends.enter_context(begin(cell, models[cell.role], cache_dir(), log, limits, notify))
                ends.callback(log.unlink, missing_ok=True)
        yield begun


def run_cells(
    run: Run,
    work: Mapping[str, Work],
    limits: Limits,
    listener: Listener,
    begun: Mapping[Cell, Begun],
    repeated: int = 0,
) -> None:
    """Execute what the run lacks, each cell's outcome stored when it ends. `begun` are cells that `ahead` began.

    Each runs its first `repeated` samples again.

    Raises:
        UsageError: the disk is full.
    """
    unfinished = (Status.NOT_RUN, Status.UNAVAILABLE)
    pending = [cell for cell in run.cells if run.record(cell).outcome.status in unfinished]
    for start in range(0, len(pending), AT_ONCE):
        _side_by_side(run, pending[start : start + AT_ONCE], work, limits, listener, begun, repeated)


def _side_by_side(
    run: Run,
    cells: Sequence[Cell],
    work: Mapping[str, Work],
    limits: Limits,
    listener: Listener,
    ahead: Mapping[Cell, Begun],
    repeated: int,
) -> None:
    """Lower the cells together, then run them in turn: nothing else works while a cell is run."""
    notifiers = {cell: partial(_notify, listener, str(cell), work[cell.role].samples) for cell in cells}
    with ExitStack() as ends:
        begun = {}
        for cell in cells:
            its, needed = work[cell.role], samples_needed(cell, work[cell.role].model)
            calibration = its.request(needed) if needed else None
            begun[cell] = ahead.get(cell) or ends.enter_context(
                begin(cell, its.model, cache_dir(), run.log(cell), limits, notifiers[cell], calibration)
            )
        ready = {cell: begun[cell].ready.result() for cell in cells}
        for cell in cells:
            record = run_cell(
                run, cell, work[cell.role], limits.seconds, notifiers[cell], begun[cell], ready[cell], repeated
            )
            notifiers[cell](record.outcome.status, work[cell.role].samples)


def _notify(listener: Listener, what: str, total: int | None, doing: str, done: int) -> None:
    listener(what, doing, done, total)
