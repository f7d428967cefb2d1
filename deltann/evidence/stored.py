"""Evidence read back from a run: memory-mapped arrays, of each output only the classes that count."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deltann.comparison.evidence import Arbitration, Sabotage, Sabotaged
from deltann.errors import UsageError, one_line
from deltann.evidence.places import evidence_folder, repeats_folder
from deltann.evidence.repeats import ORDERS
from deltann.runner.outputs import read_outputs
from deltann.store import Cell, Run

_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError)


def arbitration(run: Run, role: str) -> Arbitration | str | None:
    """What the arbiter says of the model of `role`; why it says nothing; None where nobody asked it.

    Raises:
        UsageError: the evidence is damaged.
    """
    record = _record(run, role)
    found = record.get("arbiter")
    if found is None:
        return None
    if "reason" in found:
        return str(found["reason"])
    folder = evidence_folder(run, role)
    try:
        samples = np.asarray(record["samples"], np.int64)
        names = [f"perturbed-{seed + 1}" for seed in range(found["perturbed"])]
        exact, yardstick, *perturbed = (
            _by_sample(run, role, folder / name, len(samples)) for name in ("float64", "float32", *names)
        )
        if samples.size and not 0 <= samples.min() <= samples.max() < len(run.sample_names):
            raise ValueError("a sample that the run does not have")
        shapes = [{name: array.shape for name, array in part.items()} for part in (exact, yardstick, *perturbed)]
        if any(other != shapes[0] for other in shapes) or not 0 < int(record["chosen"]) <= len(samples):
            raise ValueError("its parts do not fit together")
        return Arbitration(found["environment"], samples, int(record["chosen"]), exact, yardstick, tuple(perturbed))
    except _DAMAGE as error:
        raise _damaged(run, error) from error


def sabotaged(run: Run, role: str) -> Sabotage | str | None:
    """What sabotaged copies of the model of `role` gave; why there are none; None where nobody asked for any.

    Raises:
        UsageError: the evidence is damaged.
    """
    record = _record(run, role)
    found = record.get("sabotage")
    if found is None:
        return None
    if "reason" in found:
        return str(found["reason"])
    folder, count = evidence_folder(run, role), int(record["chosen"])
    try:
        copies = tuple(
            Sabotaged(
                copy["name"],
                copy["kind"],
                copy["description"],
                None if copy["reason"] else _by_sample(run, role, folder / f"copy-{number:02d}", count),
                copy["reason"] or "",
            )
            for number, copy in enumerate(found["copies"])
        )
        return Sabotage(found["environment"], _by_sample(run, role, folder / "sound", count), copies)
    except _DAMAGE as error:
        raise _damaged(run, error) from error


def repeats(run: Run, cell: Cell) -> tuple[Mapping[str, npt.NDArray[Any]], ...]:
    """The outputs [K, …] of the cell's first K samples in its repeated runs; empty where it was not run again.

    Raises:
        UsageError: they are damaged.
    """
    folders = [repeats_folder(run, cell) / str(number) for number, _ in enumerate(ORDERS, 1)]
    if not all(folder.is_dir() for folder in folders):
        return ()
    try:
        return tuple(
            {name: run.counted(cell.role, name, array) for name, array in read_outputs(folder).items()}
            for folder in folders
        )
    except _DAMAGE as error:
        raise _damaged(run, error) from error


def _record(run: Run, role: str) -> dict[str, Any]:
    path = evidence_folder(run, role) / "evidence.json"
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text())
        if not isinstance(record, dict):
            raise TypeError(f"{type(record).__name__} in place of an object")
        return record
    except _DAMAGE as error:
        raise _damaged(run, error) from error


def _by_sample(run: Run, role: str, folder: Path, samples: int) -> dict[str, npt.NDArray[Any]]:
    """The outputs that have a row a sample."""
    rows = run.document["rows"][role]
    runs = -(-samples // rows)
    found = {}
    for name, array in read_outputs(folder).items():
        if array.ndim and len(array) == samples and (rows == 1 or runs != samples):
            found[name] = run.counted(role, name, array)
        elif rows == 1:
            raise ValueError(f"output '{name}' is {list(array.shape)}, of {samples} samples")
    return found


def _damaged(run: Run, error: Exception) -> UsageError:
    return UsageError(f"{run.folder}: its evidence is missing or damaged ({one_line(str(error))}); run it again")
