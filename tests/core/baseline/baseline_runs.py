"""Stored runs to hold against a baseline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from deltann.baseline.drift import Drift, Row, Standing, drift
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.report.contents import Contents
from deltann.result import load
from deltann.store import open_run, write_json
from deltann.testing.stored import write_run
from deltann.testing.times import HOST, write_times
from deltann.timing.stored import timing

SCORES = np.random.default_rng(11).standard_normal((40, 6)).astype(np.float32)
HERE = {"node": "here", "class": "linux x86_64 avx2, 4 cores", "accelerators": []}
THERE = {"node": "there", "class": "linux aarch64 neon, 4 cores", "accelerators": []}
SOUND: Mapping[str, Any] = {"ort": 0.0, "torch": 1e-6, "tvm": 1e-6}
DECLINED = Outcome(Status.UNSUPPORTED, Stage.CONVERT, None, "no NonZero")
CRASHED = Outcome(Status.FAILED, Stage.COMPILE, Symptom.CRASH, "died of SIGSEGV")


def made(
    folder: Path,
    cells: Mapping[str, float | Outcome | dict[str, Any]] = SOUND,
    *,
    slowdowns: Mapping[str, float] | None = None,
    host: Mapping[str, Any] = HERE,
    model: str = "model.onnx",
    sha256: str = "0" * 64,
    inputs: str = "1" * 64,
    seed: int = 0,
    **times: Any,
) -> Contents:
    """A run whose environments are off `SCORES` by noise of the size given."""
    rng = np.random.default_rng([seed, 1])
    outputs: dict[str, Any] = {}
    for name, cell in cells.items():
        noise = rng.standard_normal(SCORES.shape)
        outputs[name] = cell if not isinstance(cell, float) else {"y": (SCORES + cell * noise).astype(np.float32)}
    write_run(folder, outputs, model=model)
    document = json.loads((folder / "run.json").read_text())
    document["host"] = dict(host)
    document["inputs"]["digest"]["model"] = inputs
    document["models"]["model"]["sha256"] = sha256
    write_json(folder / "run.json", document)
    run = open_run(folder)
    result = load(run)
    if slowdowns is None:
        return Contents(result)
    write_times(run, slowdowns, seed=seed, **times)
    path = folder / "timing" / "timing.json"
    write_json(path, {**json.loads(path.read_text()), "host": {**HOST, **host}})
    return Contents(result, timing(run, result=result))


def standings(found: Drift) -> dict[str, Standing]:
    return {row.entry.key.title: row.standing for row in found.rows}


def row_of(found: Drift, title: str) -> Row:
    (row,) = [row for row in found.rows if row.entry.key.title == title]
    return row


def judged(contents: Contents, path: Path) -> tuple[Drift, int]:
    found = drift(contents, path)
    return found, replace(contents, drift=found).exit_code


TIMES = {"ort": 0.0, "torch": 0.1, "tvm": 0.0}
