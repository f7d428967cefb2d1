"""Evidence read back from a run: memory-mapped arrays, of each output only the classes that count."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deltann.comparison.evidence import Arbitration, Sabotage, Sabotaged
from deltann.comparison.precision import Precision
from deltann.environment import Environment
from deltann.errors import UsageError, one_line
from deltann.evidence.places import evidence_folder, repeats_folder
from deltann.evidence.repeats import ORDERS
from deltann.evidence.request import Kind, Request
from deltann.inside import check_inside
from deltann.runner.outputs import read_outputs
from deltann.store import Cell, Run

_DAMAGE = (
    OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError, RecursionError, UsageError
)  # fmt: skip
_NUMBERS = "biuf"
_MOST_PERTURBED = 64


def arbitration(run: Run, role: str) -> Arbitration | str | None:
    """What the arbiter says of the model of `role`; why it says nothing; None where nobody asked it.

    Raises:
        UsageError: the evidence is damaged.
    """
    if ("arbiter", role) in run.lost.evidence:
        return run.lost.evidence["arbiter", role]
    try:
        record = _record(run, role)
        found = _asked(run, record, "arbiter", Kind.ARBITER)
        if found is None or "reason" in found:
            return None if found is None else _text(found["reason"])
        samples, chosen = _samples(run, record)
        seeds = _count(found["perturbed"], _MOST_PERTURBED)
        folder, names = evidence_folder(run, role), [f"perturbed-{seed + 1}" for seed in range(seeds)]
        exact, yardstick, *perturbed = (
            _by_sample(run, role, folder / name, len(samples)) for name in ("float64", "float32", *names)
        )
        shapes = [{name: array.shape for name, array in part.items()} for part in (exact, yardstick, *perturbed)]
        if any(other != shapes[0] for other in shapes):
            raise ValueError("its parts do not fit together")
        return Arbitration(_environment(found), samples, chosen, exact, yardstick, tuple(perturbed))
    except _DAMAGE as error:
        raise _damaged(run, error) from error


def sabotaged(run: Run, role: str) -> Sabotage | str | None:
    """What sabotaged copies of the model of `role` gave; why there are none; None where nobody asked for any.

    Raises:
        UsageError: the evidence is damaged.
    """
    if ("power", role) in run.lost.evidence:
        return run.lost.evidence["power", role]
    try:
        record = _record(run, role)
        found = _asked(run, record, "sabotage", Kind.POWER)
        if found is None or "reason" in found:
            return None if found is None else _text(found["reason"])
        folder, (_, count) = evidence_folder(run, role), _samples(run, record)
        copies = tuple(
            Sabotaged(
                _text(copy["name"]),
                _text(copy["kind"]),
                _text(copy["description"]),
                None if copy["reason"] else _by_sample(run, role, folder / f"copy-{number:02d}", count),
                _text(copy["reason"] or ""),
            )
            for number, copy in enumerate(found["copies"])
        )
        return Sabotage(_environment(found), _by_sample(run, role, folder / "sound", count), copies)
    except _DAMAGE as error:
        raise _damaged(run, error) from error


def weights(run: Run, role: str) -> Precision | None:
    """The type of less than 32 bits that weights of the model of `role` have; None: none have, or nobody looked.

    Raises:
        UsageError: the evidence is damaged.
    """
    if ("weights", role) in run.lost.evidence:
        return None
    try:
        found = _record(run, role).get("weights")
        if found not in (None, "bfloat16", "float16"):
            raise ValueError(f"weights of {found!r}")
        return None if found is None else Precision(found)
    except _DAMAGE as error:
        raise _damaged(run, error) from error


def repeats(run: Run, cell: Cell) -> tuple[Mapping[str, npt.NDArray[Any]], ...]:
    """The outputs [K, …] of the cell's first K samples in its repeated runs; empty where it was not run again.

    Raises:
        UsageError: they are damaged.
    """
    if ("noise", str(cell)) in run.lost.evidence:
        return ()
    folders = [repeats_folder(run, cell) / str(number) for number, _ in enumerate(ORDERS, 1)]
    facts = run.record(cell).facts
    repeated = facts.get("repeated") and not facts.get("repeat_failed")
    if not repeated and not all(folder.is_dir() for folder in folders):
        return ()
    try:
        return tuple(
            {name: run.counted(cell.role, name, array) for name, array in _outputs(run, folder).items()}
            for folder in folders
        )
    except _DAMAGE as error:
        raise _damaged(run, error) from error


PARTS: Mapping[str, Callable[[Run, str], object]] = {"arbiter": arbitration, "power": sabotaged, "weights": weights}
"""What is read of a role's evidence, by what it is called in `Lost.evidence`."""


def _asked(run: Run, record: Mapping[str, Any], key: str, kind: Kind) -> Any:
    """What the record says of a part; None where nobody asked for it."""
    if key not in record and Request.from_json(run.document.get("evidence")).wants(kind):
        raise KeyError(f"{kind} was asked for and is not there")
    return record.get(key)


def _record(run: Run, role: str) -> dict[str, Any]:
    path = evidence_folder(run, role) / "evidence.json"
    check_inside(run.folder, path)
    if not path.is_file():
        return {}
    record = json.loads(path.read_text())
    if not isinstance(record, dict):
        raise TypeError(f"{type(record).__name__} in place of an object")
    return record


def _samples(run: Run, record: Mapping[str, Any]) -> tuple[npt.NDArray[np.int64], int]:
    """Which they are, and how many of them were chosen beforehand."""
    samples = [_count(sample) for sample in record["samples"]]
    if any(sample >= len(run.sample_names) for sample in samples):
        raise ValueError("a sample that the run does not have")
    chosen = _count(record["chosen"], len(samples))
    if not chosen:
        raise ValueError("no sample was chosen")
    return np.asarray(samples, np.int64), chosen


def _by_sample(run: Run, role: str, folder: Path, samples: int) -> dict[str, npt.NDArray[Any]]:
    """The outputs that have a row a sample."""
    rows = run.document["rows"][role]
    runs = -(-samples // rows)
    found = {}
    for name, array in _outputs(run, folder).items():
        if array.ndim and len(array) == samples and (rows == 1 or runs != samples):
            found[name] = run.counted(role, name, array)
        elif rows == 1:
            raise ValueError(f"output '{name}' is {list(array.shape)}, of {samples} samples")
    return found


def _outputs(run: Run, folder: Path) -> dict[str, npt.NDArray[Any]]:
    check_inside(run.folder, folder, *folder.iterdir())
    found = read_outputs(folder)
    for name, array in found.items():
        if array.dtype.kind not in _NUMBERS or array.dtype.itemsize > 8:
            raise ValueError(f"output '{name}' holds {array.dtype}")
    return found


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} in place of a text")
    return value


def _count(value: object, most: int | None = None) -> int:
    """A whole number of at least 0."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0 or (most is not None and value > most):
        raise ValueError(f"{value!r} in place of a whole number" + (f" up to {most}" if most is not None else ""))
    return value


def _environment(found: Mapping[str, Any]) -> str:
    text = _text(found["environment"])
    Environment.parse(text)
    return text


def _damaged(run: Run, error: Exception) -> UsageError:
    return UsageError(f"{run.folder}: its evidence is missing or damaged ({one_line(str(error))}); run it again")
