"""A run on disk.

    RUN/run.json               schema version, status, what was asked, models, inputs, versions, host, git revision
    RUN/cells/CELL/cell.json   a cell's outcome and facts, written when it ends; worker.log beside it
    RUN/outputs/CELL/          the cell's outputs (`deltann.runner.outputs`)
    RUN/outcomes.parquet       a row a cell, written at the end
    RUN/samples.parquet        a row a sample, cell and classification output, written at the end
    RUN/pictures/INDEX.jpg     small pictures of the samples worth seeing, where the inputs are images

Every file is written under another name and renamed, so a run that was killed has whole files or none, and says
`"status": "running"`. All reports are functions of such a folder, and follow no link out of it (`deltann.inside`).
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deltann.criteria import Criteria
from deltann.environment import Environment
from deltann.errors import UsageError, one_line
from deltann.inside import LeadsOut, check_inside
from deltann.model import Model
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.parts import checked_facts, damaged_parts, texts
from deltann.runner.outputs import read_outputs, read_times

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA = 1
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RecursionError)
"""What reading a file that is not what it should be ends in."""
NUMBERS = "biufc"
"""Kinds of dtypes that outputs have."""
ROLES = ("model", "against")
TABLES = ("outcomes.parquet", "samples.parquet")
LOCK = ".lock"
"""Held by the process that writes to the run; the file itself means nothing."""


class RunStatus(StrEnum):
    """How far a run came."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    COMPLETE = "complete"


@dataclass(frozen=True)
class Cell:
    """One environment applied to the model (`role` "model") or to the other one (`role` "against")."""

    environment: str
    role: str = "model"

    def __post_init__(self) -> None:
        if self.role not in ROLES:  # it names a folder
            raise ValueError(f"'{self.role}' is no role of a model")

    def __str__(self) -> str:
        return self.environment if self.role == "model" else f"{self.role}:{self.environment}"

    @property
    def folder(self) -> str:
        """Relative to `cells/` and `outputs/`."""
        return f"{self.role}/{Environment.parse(self.environment).slug}"


@dataclass(frozen=True)
class CellRecord:
    """What is known of a cell that ended. `facts`: version, artifact digest, seconds to lower and to load, …"""

    cell: Cell
    outcome: Outcome
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Lost:
    """What stands in for parts of a run that cannot be read (`deltann.salvage`); nothing does in one that is whole.

    `cells`: records in place of damaged ones, and of those whose outputs are gone. `evidence`: why there is none, by
    what it is and whose: `("arbiter", role)`, `power`, `weights`, and `("noise", cell)`. `newer`: why nothing in the
    run may be relied on; empty where it may.
    """

    cells: Mapping[Cell, CellRecord] = field(default_factory=dict)
    evidence: Mapping[tuple[str, str], str] = field(default_factory=dict)
    newer: str = ""


@dataclass(frozen=True)
class Run:
    """A run's folder and its `run.json`."""

    folder: Path
    document: Mapping[str, Any]
    lost: Lost = Lost()

    @property
    def status(self) -> RunStatus:
        """How far it came."""
        return RunStatus(self.document["status"])

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells asked for, in the order asked."""
        return tuple(Cell(**cell) for cell in self.document["cells"])

    @property
    def models(self) -> dict[str, Model]:
        """The models by role."""
        return {role: Model.from_json(data) for role, data in self.document["models"].items()}

    @property
    def sample_names(self) -> list[str]:
        """The samples' names, in the order of the rows of every output."""
        return list(self.document["inputs"]["names"])

    @property
    def class_names(self) -> list[str]:
        """What the user calls the classes, from class 0 on; empty where nobody said, or before they were recorded."""
        return list(self.document.get("class_names") or ())

    def record(self, cell: Cell) -> CellRecord:
        """What happened to the cell; NOT_RUN where it has not ended.

        Raises:
            UsageError: its record is damaged.
        """
        if cell in self.lost.cells:
            return self.lost.cells[cell]
        path = self.folder / "cells" / cell.folder / "cell.json"
        try:
            check_inside(self.folder, path)
            if not path.is_file():
                return CellRecord(cell, Outcome(Status.NOT_RUN, reason="the run ended before it"))
            data = json.loads(path.read_text())
            outcome = data["outcome"]
            stage, symptom = outcome["stage"], outcome["symptom"]
            if not texts((outcome["reason"], outcome["detail"])):
                raise TypeError("a reason that is no text")
            return CellRecord(
                cell,
                Outcome(
                    Status(outcome["status"]),
                    Stage(stage) if stage else None,
                    Symptom(symptom) if symptom else None,
                    outcome["reason"],
                    outcome["detail"],
                ),
                checked_facts(data["facts"]),
            )
        except _DAMAGE as error:
            raise UsageError(f"{path}: damaged ({one_line(str(error))}); run the comparison again") from error

    def save_record(self, record: CellRecord) -> None:
        """Store how a cell ended."""
        data = {"outcome": asdict(record.outcome), "facts": dict(record.facts)}
        write_json(self.folder / "cells" / record.cell.folder / "cell.json", data)

    def outputs_folder(self, cell: Cell) -> Path:
        """Where the cell's outputs are, or will be."""
        return self.folder / "outputs" / cell.folder

    def log(self, cell: Cell) -> Path:
        """What the cell's worker printed."""
        return self.folder / "cells" / cell.folder / "worker.log"

    def outputs(self, cell: Cell) -> dict[str, npt.NDArray[Any]]:
        """The outputs of a cell that is OK, memory-mapped, by output name; of each only the classes that count.

        Raises:
            UsageError: they are missing or damaged.
        """
        samples = len(self.sample_names)
        runs = -(-samples // self.document["rows"][cell.role])
        try:
            folder = self._checked_outputs(cell)
            times, outputs = read_times(folder), read_outputs(folder)
            if times.shape != (runs,) or np.isnan(times).any():
                raise ValueError(f"{np.count_nonzero(~np.isnan(times))} of {runs} runs are there")
            for name, array in outputs.items():
                if array.dtype.kind not in NUMBERS or not array.ndim or len(array) not in (samples, runs):
                    raise ValueError(f"output '{name}' is {array.dtype}{list(array.shape)}, of {samples} samples")
            return {name: self.counted(cell.role, name, array) for name, array in outputs.items()}
        except _DAMAGE as error:
            raise self._damaged_outputs(cell, error) from error

    def counted(self, role: str, output: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Of an output's array [N, …] of the model of `role`, the classes that count (`--map-outputs`)."""
        kept = self.document.get("classes", {}).get(role, {}).get(output)
        if kept is None:
            return array
        declared = next((spec.shape for spec in self.models[role].outputs if spec.name == output), None)
        # An output of another size than the model says is a difference, which leaving classes out must not hide.
        fits = declared is not None and array.ndim == len(declared) > 1 and array.shape[1] == declared[1]
        return array[:, slice(*kept)] if fits else array

    def common_name(self, role: str, output: str) -> str:
        """The name that tolerances and tasks know an output of the model of `role` by: of two, the second one's."""
        return str(self.document["map_outputs"].get(output, output)) if role == "model" else output

    def times(self, cell: Cell) -> npt.NDArray[Any]:
        """Seconds of each run of the cell's executable.

        Raises:
            UsageError: they are damaged.
        """
        if cell in self.lost.cells:
            return np.empty(0)
        try:
            return read_times(self._checked_outputs(cell))
        except _DAMAGE as error:
            raise self._damaged_outputs(cell, error) from error

    def _checked_outputs(self, cell: Cell) -> Path:
        folder = self.outputs_folder(cell)
        check_inside(self.folder, folder, *(folder.iterdir() if folder.is_dir() else ()))
        return folder

    def _damaged_outputs(self, cell: Cell, error: Exception) -> UsageError:
        reason = one_line(str(error))
        return UsageError(f"{self.folder}: the outputs of {cell} are missing or damaged ({reason}); run it again")

    def with_status(self, status: RunStatus, tables: Sequence[str] = ()) -> Run:
        """The same run with its status changed, on disk too; `tables`: those of `TABLES` that were written."""
        written = {"tables": list(tables)} if tables else {}
        return self._with(status=status.value, **written)

    def with_times(self) -> Run:
        """The same run, which says from now on that it was timed, on disk too: times that are gone are missed."""
        return self._with(timed=True)

    def _with(self, **parts: Any) -> Run:
        run = replace(self, document={**self.document, **parts})
        write_json(self.folder / "run.json", run.document)
        return run


def open_run(folder: str | Path, partial: bool = False) -> Run:
    """Read a run; with `partial`, one of a newer schema too, as far as what is known of it is there.

    Raises:
        UsageError: not a run's folder, damaged, or of a newer schema.
    """
    path = Path(folder) / "run.json"
    try:
        check_inside(Path(folder), path)
        document = json.loads(path.read_text())
        schema = int(document["schema"])
    except OSError as error:
        raise UsageError(f"{folder}: no run there (no readable run.json); give a folder that `--out` made") from error
    except _DAMAGE as error:
        raise UsageError(f"{path}: damaged ({one_line(str(error))}); run the comparison again") from error
    newer = f"schema {schema} is newer than this deltann reads ({SCHEMA}); upgrade deltann" if schema > SCHEMA else ""
    if newer and not partial:
        raise UsageError(f"{path}: {newer}")
    try:
        if newer:
            known = {part.name for part in fields(Criteria)}
            criteria = {key: value for key, value in document["criteria"].items() if key in known}
            document = {**document, "criteria": criteria}
        damaged = damaged_parts(Run(Path(folder), document))
    except (*_DAMAGE, UsageError) as error:
        raise UsageError(f"{path}: {newer or 'damaged (parts of it are missing); run the comparison again'}") from error
    if damaged:
        parts = ", ".join(damaged)
        raise UsageError(f"{path}: {newer or f'damaged ({parts}); run the comparison again'}")
    return Run(Path(folder), document, Lost(newer=newer))


def create_run(folder: Path, document: Mapping[str, Any]) -> Run:
    """Start a run, or take up the unfinished one in `folder` that asked for the same; its criteria may be others.

    Raises:
        UsageError: the folder holds a finished run, or an unfinished one of another request, or cannot be written to.
    """
    document = {**document, "schema": SCHEMA, "status": RunStatus.RUNNING.value}
    if (folder / "run.json").exists():
        old = _unfinished(folder)
        changed = sorted(
            key for key in _identity(document) if _identity(document)[key] != _identity(old.document).get(key)
        )
        if changed:
            raise UsageError(f"{folder} holds an unfinished run of another {', '.join(changed)}: choose another --out")
        created = old.document["created"]
    else:
        created = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        write_json(folder / "run.json", {**document, "created": created})
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}; choose another --out") from error
    return open_run(folder)


def check_writable(folder: Path) -> None:
    """Raise UsageError where a run could not be written to `folder`, before any work is done for it."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write to {folder}: {existing} is no folder you may write to; choose another --out")
    if (folder / "run.json").exists():
        _unfinished(folder)
    elif folder.is_dir() and any(path.name != LOCK for path in folder.iterdir()):
        raise UsageError(f"{folder} is not empty and holds no run: choose another --out")
    if (folder / LOCK).exists():
        with locked(folder):
            pass


def _unfinished(folder: Path) -> Run:
    """The run in `folder`, to be written to; UsageError where it is finished, or a link in it leads out."""
    run = open_run(folder)
    if run.status is RunStatus.COMPLETE:
        raise UsageError(f"{folder} holds a finished run: see `deltann report {folder}`, or choose another --out")
    try:
        check_inside(folder, *folder.rglob("*"))
    except LeadsOut as error:
        raise UsageError(f"{folder}: {error}: refused; choose another --out") from error
    return run


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run's folder, made where it is not there, for this process alone; to be entered before `create_run`.

    The lock ends with the process however that ends, so that a killed run can be taken up again.

    Raises:
        UsageError: another process holds it, or it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("wb")
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}; choose another --out") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"another deltann is writing to {folder}: let it end, or choose another --out") from error
        yield


def _identity(document: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a run that a resumed one must share, as JSON would read them back."""
    parts = {
        "deltann": document["deltann"],
        "model": {role: model["sha256"] for role, model in document["models"].items()},
        "inputs": document["inputs"]["digest"],
        "shapes": {role: model["inputs"] for role, model in document["models"].items()},
        "backends": document["cells"],
        "versions": document["versions"],
        "labels": document["labels"],
        "rows": document["rows"],
        "classes": document.get("classes", {}),
    }
    return dict(json.loads(json.dumps(parts)))


def write_table(path: Path, pieces: Iterable[pa.Table]) -> None:
    """Write a Parquet file, piece by piece (one at least), so that a reader sees the old file or the whole new one."""
    from pyarrow import parquet

    temporary = path.with_name(f"{path.name}.part")
    rest = iter(pieces)
    piece = next(rest)
    with parquet.ParquetWriter(temporary, piece.schema) as writer:
        writer.write_table(piece)
        for piece in rest:
            writer.write_table(piece)
    temporary.replace(path)


def write_json(path: Path, data: Any) -> None:
    """Write JSON so that a reader sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.part")
    temporary.write_text(json.dumps(data, indent=1, allow_nan=False))
    temporary.replace(path)
