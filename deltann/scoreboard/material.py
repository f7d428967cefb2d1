"""A case's model and data as files that a worker reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from deltann.model import Model, load_model
from deltann.scoreboard.cases import Collected


@dataclass(frozen=True)
class Material:
    """`inputs` and `expected` are `.npy` files by name, [1, …] each: the one sample of the worker's protocol."""

    model: Model
    inputs: Mapping[str, Path]
    expected: Mapping[str, Path]
    rtol: float
    atol: float


def write_material(one: Collected, folder: Path) -> Material:
    """Write a case that can be tested into `folder`.

    Raises:
        UsageError: deltann takes no such model.
    """
    folder.mkdir(parents=True)
    onnx.save_model(one.proto, folder / "model.onnx")
    model = load_model(folder / "model.onnx")
    inputs = dict(zip((spec.name for spec in model.inputs), one.inputs, strict=True))
    expected = dict(zip((spec.name for spec in model.outputs), one.expected, strict=True))
    return Material(
        model=model.bind({name: array.shape for name, array in inputs.items()}),
        inputs=_write(inputs, folder, "input"),
        expected=_write(expected, folder, "expected"),
        rtol=one.rtol,
        atol=one.atol,
    )


def read_arrays(files: Mapping[str, Path]) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a case, by name."""
    return {name: np.asarray(np.load(file, allow_pickle=False)[0]) for name, file in files.items()}


def _write(arrays: Mapping[str, npt.NDArray[Any]], folder: Path, kind: str) -> dict[str, Path]:
    files = {name: folder / f"{kind}{number}.npy" for number, name in enumerate(arrays)}
    for name, file in files.items():
        np.save(file, arrays[name][np.newaxis], allow_pickle=False)
    return files
