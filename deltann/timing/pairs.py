"""Which cells are timed against which, and their series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deltann.environment import Environment
from deltann.errors import UsageError
from deltann.native import NATIVE
from deltann.store import Cell
from deltann.timing.rounds import Round
from deltann.timing.series import Series
from deltann.timing.verdict import Pair


def timed(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Those that are timed: what runs in this process cannot be run afresh, nor be stopped while another is timed."""
    return tuple(cell for cell in cells if cell.environment != NATIVE)


def pairs_of(cells: Sequence[Cell], reference: str | None) -> tuple[Pair, ...]:
    """(candidate, reference) of every pair, as the cells' names.

    Every other cell against the reference, the first one where None. Of two models, the second under each environment
    against the first under the same, or under the first environment where that does not read it.

    Raises:
        UsageError: no such environment, or a reference where there are two models.
    """
    cells = timed(cells)
    bases = [cell for cell in cells if cell.role == "model"]
    if len(bases) < len(cells):
        if reference is not None:
            raise UsageError("--reference does not go with two models: the first model is the reference")
        own = {cell.environment: cell for cell in bases}
        others = [cell for cell in cells if cell.role != "model"]
        return tuple((str(cell), str(own.get(cell.environment, bases[0]))) for cell in others)
    wanted = bases[0].environment if reference is None else str(Environment.parse(reference))
    if wanted not in [cell.environment for cell in bases]:
        names = ", ".join(map(str, cells))
        raise UsageError(f"--reference {reference} is not among the environments: {names}")
    return tuple((str(cell), wanted) for cell in bases if cell.environment != wanted)


def series_of(rounds: Sequence[Round], name: str) -> Series:
    """The times of one environment in those of `rounds` that it was in and came through."""
    found = [one.seconds for round_ in rounds for one in round_.measured if one.name == name and one.outcome is None]
    return Series(name, tuple(np.asarray(seconds, np.float64) for seconds in found))
