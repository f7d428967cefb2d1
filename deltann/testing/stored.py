"""A finished run on disk, made of given outputs: what tests of judging and of reports start from, with nothing run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deltann.criteria import Criteria
from deltann.model import Model, TensorSpec
from deltann.outcome import Outcome, Stage, Status
from deltann.runner.outputs import OutputWriter
from deltann.store import Cell, CellRecord, Run, RunStatus, create_run

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
) -> Run:
    """Write a complete run to `folder`.

    `cells`: by environment its outputs, [N, …] by name, or the outcome of a cell that has none. `names`: the N
    samples'. `facts`: by environment what is recorded of it, such as its artifact's digest.
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
        "map_outputs": {},
        "criteria": (criteria or Criteria()).to_json(),
        "versions": {},
        "host": {},
        "git": None,
    }
    run = create_run(folder, document)
    for cell in run.cells:
        _write_cell(run, cell, cells[cell.environment], samples, dict((facts or {}).get(cell.environment, {})))
    return run.with_status(RunStatus.COMPLETE)


def _write_cell(run: Run, cell: Cell, outputs: Outputs | Outcome, samples: int, facts: dict[str, Any]) -> None:
    if isinstance(outputs, Outcome):
        run.save_record(CellRecord(cell, outputs, facts))
        return
    writer = OutputWriter(run.outputs_folder(cell), samples, 1, batched=True)
    for sample in range(samples):
        writer.write(sample, {name: np.asarray(array[sample : sample + 1]) for name, array in outputs.items()}, 0.001)
    run.save_record(CellRecord(cell, Outcome(Status.OK, Stage.RUN), {"version": "1", **facts}))
