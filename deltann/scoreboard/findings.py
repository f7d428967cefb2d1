"""A finding: a folder with the model, what it was fed, what was expected, what came instead, and what is known."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deltann.scoreboard.material import Material, read_arrays
from deltann.scoreboard.row import Row
from deltann.store import write_json

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class About:
    """Where a finding was made. `models_before`: how many the same process had run before this one."""

    environment: str
    version: str
    onnx: str
    models_before: int


def keep(folder: Path, row: Row, about: About, material: Material, got: Arrays | None) -> None:
    """Write a finding; there is no `got.npz` where nothing came.

    A reader sees the whole folder or none.
    """
    part = folder.with_name(f".{folder.name}.part")
    for old in (part, folder):
        shutil.rmtree(old, ignore_errors=True)
    part.mkdir(parents=True)
    shutil.copyfile(material.model.path, part / "model.onnx")
    write_npz(part / "inputs.npz", read_arrays(material.inputs))
    write_npz(part / "expected.npz", read_arrays(material.expected))
    if got is not None:
        write_npz(part / "got.npz", got)
    write_json(part / "finding.json", {
        **row.to_json(),
        "environment": about.environment,
        "version": about.version,
        "onnx": about.onnx,
        "models_before": about.models_before,
        "rtol": material.rtol,
        "atol": material.atol,
        "repeat": f"deltann scoreboard --backends '{about.environment}' --cases {row.case}",
    })  # fmt: skip
    part.rename(folder)


def write_npz(file: Path, arrays: Arrays) -> None:
    """An `.npz` of arrays of any names; `np.savez` has a parameter of its own that an input might be called after."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as entry:
                np.lib.format.write_array(entry, np.asarray(array), allow_pickle=False)
