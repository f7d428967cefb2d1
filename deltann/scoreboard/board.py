"""`scoreboard`: every case in every environment, taken up again where an earlier one was stopped."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from deltann import registry
from deltann.environment import Environment
from deltann.errors import Unavailable, UsageError
from deltann.host import git_revision, host
from deltann.registry import own_version
from deltann.runner.artifacts import adapter_digest
from deltann.runner.cells import Listener
from deltann.scoreboard.cases import Case, Collected, collect
from deltann.scoreboard.environments import chosen
from deltann.scoreboard.execution import Limits, execute
from deltann.scoreboard.material import Material, write_material
from deltann.scoreboard.record import WORK, Record, create_record, open_record
from deltann.scoreboard.row import Row
from deltann.scoreboard.selection import Selection
from deltann.scoreboard.table import Scoreboard
from deltann.store import locked
from deltann.study import Interrupted


def scoreboard(
    backends: str | None, selection: Selection, limits: Limits, out: Path | None, listener: Listener
) -> Scoreboard:
    """Run what is not yet stored in `out` (default: a new folder under `runs/`) and return the whole.

    Raises:
        UsageError: the request cannot be carried out, or `out` holds something else.
        Interrupted: Ctrl-C; the same request goes on in the folder it names.
    """
    versions, left_out = chosen(backends)
    asked = {
        "deltann": own_version(),
        "onnx": version("onnx"),
        "selection": selection.to_json(),
        "environments": [
            {"spec": spec, "version": found, "adapter": adapter_digest(registry.get(Environment.parse(spec).backend))}
            for spec, found in versions.items()
        ],
        "timeout_s": limits.seconds,
        "memory_limit": limits.memory,
    }
    folder = out or _new_folder()
    with locked(folder):
        record = open_record(folder, asked)
        if record is not None and not any(record.pending().values()):
            return Scoreboard.of(record)
        listener("cases", "collect", 0, None)
        wanted = selection.of(collect())
        work = folder / WORK
        shutil.rmtree(work, ignore_errors=True)  # a killed process may have left one
        try:
            material, cases = _write(wanted, work / "cases", listener)
            if record is None:
                more = {"created": datetime.now(UTC).isoformat(timespec="seconds"), "host": host(),
                        "git": git_revision(), "left_out": left_out}  # fmt: skip
                record = create_record(folder, asked, cases, more)
            _execute(record, material, limits, listener)
        except KeyboardInterrupt:
            raise Interrupted(folder) from None
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return Scoreboard.of(record)


def _write(wanted: Sequence[Collected], folder: Path, listener: Listener) -> tuple[dict[str, Material], list[Case]]:
    """The files of the cases that can be tested, and all cases, with the reasons of those that deltann refuses."""
    material, cases = {}, []
    for number, one in enumerate(wanted):
        case = one.case
        if not case.untested:
            try:
                material[case.name] = write_material(one, folder / case.name)
            except UsageError as error:
                case = replace(case, untested=str(error).removeprefix(f"{folder / case.name / 'model.onnx'}: "))
        cases.append(case)
        listener("cases", "write", number + 1, len(wanted))
    return material, cases


def _execute(record: Record, material: dict[str, Material], limits: Limits, listener: Listener) -> None:
    pending = record.pending()
    total = sum(not case.untested for case in record.cases)
    done = Counter({environment: total - len(cases) for environment, cases in pending.items()})

    def ended(environment: str, row: Row) -> None:
        done[environment] += 1
        listener(environment, row.result, done[environment], total)

    try:
        execute(record, pending, material, limits, ended)
    except Unavailable as error:
        raise UsageError(str(error)) from error


def _new_folder() -> Path:
    name = f"{datetime.now():%Y%m%d-%H%M%S}-scoreboard"
    return next(
        folder for n in range(1, 100) if not (folder := Path("runs") / (f"{name}-{n}" if n > 1 else name)).exists()
    )
