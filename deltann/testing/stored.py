"""A finished run on disk, made of given outputs: what tests of judging and of reports start from, with nothing run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deltann.comparison.evidence import Arbitration, Sabotage
from deltann.criteria import Criteria
from deltann.evidence.places import evidence_folder, repeats_folder
from deltann.model import Model, TensorSpec
from deltann.outcome import Outcome, Stage, Status
from deltann.runner.outputs import OutputWriter
from deltann.store import Cell, CellRecord, Run, RunStatus, create_run, open_run, write_json

Outputs = Mapping[str, npt.NDArray[Any]]


def write_run(
    folder: Path,
    cells: Mapping[str, Outputs | Outcome],
    *,
    names: Sequence[str] | None = None,
    labels: Sequence[int | None] | None = None,
    criteria: Criteria | None = None,
    model: str = "model.onnx",
    source: str = "random:4",
    facts: Mapping[str, Mapping[str, Any]] | None = None,
    class_names: Sequence[str] | None = None,
) -> Run:
    """Write a complete run to `folder`.

    `cells`: by environment its outputs, [N, …] by name, or the outcome of a cell that has none. `names`: the N
    samples'. `facts`: by environment what is recorded of it, such as its artifact's digest.
    `class_names`: from class 0.
    """
    arrays = [outputs for outputs in cells.values() if not isinstance(outputs, Outcome)]
    samples = len(next(iter(arrays[0].values()))) if arrays else 1
    declared = arrays[0] if arrays else {}
    specs = tuple(TensorSpec(name, str(array.dtype), ("batch", *array.shape[1:])) for name, array in declared.items())
    document = {
        "deltann": "0",
        "models": {"model": Model(model, folder / model, "0" * 64, 17, (), specs).to_json()},
        "cells": [{"environment": environment, "role": "model"} for environment in cells],
        "rows": {"model": 1},
        "inputs": {
            "source": source,
            "names": list(names or (f"random[{number}]" for number in range(samples))),
            "digest": {"model": "0" * 64},
            "pipeline": {"model": None},
            "skipped": [],
            "notes": [],
        },
        "labels": None if labels is None else {"values": list(labels), "offset": None},
        "class_names": None if class_names is None else list(class_names),
        "map_outputs": {},
        "criteria": (criteria or Criteria()).to_json(),
        "versions": {},
        "host": {},
        "git": None,
    }
    run = create_run(folder, document)
    for cell in run.cells:
        _write_cell(run, cell, cells[cell.environment], dict((facts or {}).get(cell.environment, {})))
    return run.with_status(RunStatus.COMPLETE)


def write_against(run: Run, cells: Mapping[str, Outputs], map_outputs: Mapping[str, str] | None = None) -> Run:
    """Add a second model, and what environments made of it, to a run; `map_outputs`: {first's: second's} names."""
    given = next(iter(cells.values()))
    specs = tuple(TensorSpec(name, str(array.dtype), ("batch", *array.shape[1:])) for name, array in given.items())
    model = Model("other.onnx", run.folder / "other.onnx", "1" * 64, 17, (), specs)
    inputs = dict(run.document["inputs"])
    for part in ("digest", "pipeline"):
        inputs[part] = {**inputs[part], "against": inputs[part]["model"]}
    document = {
        **run.document,
        "models": {**run.document["models"], "against": model.to_json()},
        "cells": [*run.document["cells"], *({"environment": name, "role": "against"} for name in cells)],
        "rows": {**run.document["rows"], "against": 1},
        "map_outputs": dict(map_outputs or {}),
        "inputs": inputs,
    }
    write_json(run.folder / "run.json", document)
    run = open_run(run.folder)
    for name, outputs in cells.items():
        _write_cell(run, Cell(name, "against"), outputs, {})
    return run


def write_arbitration(run: Run, found: Arbitration, role: str = "model") -> None:
    """Store what an arbiter says, as a comparison would have done."""
    folder = evidence_folder(run, role)
    named = {f"perturbed-{number}": outputs for number, outputs in enumerate(found.perturbed, 1)}
    for name, outputs in {"float64": found.float64, "float32": found.float32, **named}.items():
        _write_outputs(folder / name, outputs)
    arbiter = {"environment": found.environment, "perturbed": len(found.perturbed)}
    _add_record(folder, {"samples": found.samples.tolist(), "chosen": found.chosen, "arbiter": arbiter})


def write_sabotage(run: Run, found: Sabotage, role: str = "model") -> None:
    """Store what sabotaged copies of the model gave."""
    folder = evidence_folder(run, role)
    _write_outputs(folder / "sound", found.sound)
    for number, copy in enumerate(found.copies):
        if copy.outputs is not None:
            _write_outputs(folder / f"copy-{number:02d}", copy.outputs)
    copies = [
        {"name": copy.name, "kind": copy.kind, "description": copy.description, "reason": copy.reason or None}
        for copy in found.copies
    ]
    chosen = len(next(iter(found.sound.values())))
    record = {"samples": list(range(chosen)), "chosen": chosen}
    _add_record(folder, {**record, "sabotage": {"environment": found.environment, "copies": copies}})


def write_repeats(run: Run, environment: str, repeats: Sequence[Outputs]) -> None:
    """Store the outputs of an environment that ran its first samples again, once a repeat."""
    for number, outputs in enumerate(repeats, 1):
        _write_outputs(repeats_folder(run, Cell(environment)) / str(number), outputs)


def _add_record(folder: Path, parts: Mapping[str, Any]) -> None:
    path = folder / "evidence.json"
    write_json(path, {**parts, **(json.loads(path.read_text()) if path.exists() else {})})


def _write_outputs(folder: Path, outputs: Outputs) -> None:
    samples = len(next(iter(outputs.values())))
    writer = OutputWriter(folder, samples, 1, batched=True)
    for sample in range(samples):
        writer.write(sample, {name: np.asarray(array[sample : sample + 1]) for name, array in outputs.items()}, 0.001)


def _write_cell(run: Run, cell: Cell, outputs: Outputs | Outcome, facts: dict[str, Any]) -> None:
    if isinstance(outputs, Outcome):
        run.save_record(CellRecord(cell, outputs, facts))
        return
    _write_outputs(run.outputs_folder(cell), outputs)
    run.save_record(CellRecord(cell, Outcome(Status.OK, Stage.RUN), {"version": "1", **facts}))
