"""Drives an executable directly, in a process of its own: `python -m deltann.testing.probe REQUEST.json ANSWER.json`.

The worker copies outputs to disk at once, so what an executable does to arrays that a caller still holds shows only
here. REQUEST: {"environment", "model", "workdir", "first": file, "second": file}, the files `.npz` of a run's inputs
whose values differ, and "calibration" as in the worker's protocol; where that is null, `lower` is called, which an
adapter refuses if it cannot do without. ANSWER: lists of names,
    inputs_changed         inputs that a run wrote to
    outputs_changed        outputs of the first run that the second one overwrote
    outputs_stale          outputs that came out the same for other inputs
    differs_on_repetition  outputs that are not bit for bit the same for the same inputs
Like the worker it needs numpy, onnx and the framework alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deltann import registry
from deltann.artifact import Artifact
from deltann.backend import Backend, Calibrated, Tensors
from deltann.environment import Environment
from deltann.errors import Unavailable
from deltann.model import Model
from deltann.runner.batches import Batches

Arrays = dict[str, npt.NDArray[Any]]


def probe(request: dict[str, Any]) -> dict[str, list[str]]:
    """Lower, load and run three times: the first inputs, the second ones, the first ones again."""
    environment = Environment.parse(request["environment"])
    backend = registry.get(environment.backend)
    artifact = _lower(backend, environment, request)
    first, second = _read(request["first"]), _read(request["second"])
    with backend.load(artifact, environment) as executable:
        held = executable.run(first)
        copies = {name: np.array(array) for name, array in held.items()}
        other = {name: np.array(array) for name, array in executable.run(second).items()}
        changed = _different(held, copies)
        again = executable.run(first)
        return {
            "inputs_changed": _different(first, _read(request["first"])) + _different(second, _read(request["second"])),
            "outputs_changed": changed,
            "outputs_stale": sorted(set(copies) - set(_different(other, copies))),
            "differs_on_repetition": _different(again, copies),
        }


def _lower(backend: Backend, environment: Environment, request: dict[str, Any]) -> Artifact:
    model, workdir, calibration = Model.from_json(request["model"]), Path(request["workdir"]), request["calibration"]
    if calibration is None or not isinstance(backend, Calibrated):
        return backend.lower(model, environment, workdir)
    files = {name: Path(file) for name, file in calibration["inputs"].items()}
    batches = Batches(files, calibration["samples"], calibration["rows"], calibration["batched"])
    return backend.lower_calibrated(model, environment, workdir, batches)


def _read(file: str) -> Arrays:
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays.items())


def _different(these: Tensors, those: Tensors) -> list[str]:
    """The names whose arrays are not bit for bit the same."""
    return sorted(name for name in those if np.asarray(these[name]).tobytes() != np.asarray(those[name]).tobytes())


def main(request: Path, answer: Path) -> None:
    """Probe and write what was found, or `{"unavailable": reason}`."""
    found: dict[str, Any]
    try:
        found = dict(probe(json.loads(request.read_text())))
    except Unavailable as error:
        found = {"unavailable": str(error)}
    answer.write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
