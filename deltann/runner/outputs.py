"""A cell's outputs on disk: one `.npy` an output, filled run by run; a killed worker's successor goes on from there."""

from __future__ import annotations

import json
import os
import re
import tokenize
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from deltann.backend import Tensors
from deltann.errors import Unsupported, one_line

INDEX = "outputs.json"
TIMES = "times.npy"


def create_array(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """A writable memory-mapped `.npy` whose space is really reserved.

    A sparse file on a full disk would kill the writer with SIGBUS, which looks like the framework's fault.

    Raises:
        OSError: no space, or no right to write.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if path.stat().st_size:
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


class OutputWriter:
    """Writes the outputs of `runs` runs, `rows` samples each (`samples` in all; the last run may be padded).

    An output whose first dimension is the number of rows is stored as [samples, …], any other as [runs, …].
    `times.npy` holds seconds a run (NaN: not done); it is written after the outputs, so it says how far a killed
    worker came.
    """

    def __init__(self, folder: Path, samples: int, rows: int, batched: bool) -> None:
        self._folder = folder
        self._samples = samples
        self._rows = rows
        self._batched = batched
        self._runs = -(-samples // rows)
        self._arrays: dict[str, npt.NDArray[Any]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / INDEX).is_file():
            self._arrays = _load(folder, "r+")
            self._times = read_array(folder / TIMES, "r+")
        else:
            self._times = create_array(folder / TIMES, np.dtype(np.float64), (self._runs,))
            self._times[:] = np.nan

    @property
    def next_run(self) -> int:
        """The first run that is not done."""
        return int(np.count_nonzero(~np.isnan(self._times)))

    def write(self, run: int, outputs: Tensors, seconds: float) -> None:
        """Store what run number `run` returned.

        Raises:
            Unsupported: an output's shape, type or presence changed between runs (it depends on the data).
            OSError: no space left.
        """
        arrays = {name: np.asarray(value) for name, value in outputs.items()}
        if not self._arrays:
            self._allocate(arrays)
        if arrays.keys() != self._arrays.keys():
            raise Unsupported(f"run {run} returned the outputs {sorted(arrays)}, run 0 {sorted(self._arrays)}")
        first = run * self._rows
        for name, value in arrays.items():
            stored = self._arrays[name]
            by_row = self._by_row(value)
            wanted = (self._rows if by_row else 1, *stored.shape[1:])
            actual = value.shape if by_row else (1, *value.shape)
            if actual != wanted or value.dtype != stored.dtype:
                raise Unsupported(
                    f"output '{name}' changed between runs from {stored.dtype}{list(stored.shape[1:])} to "
                    f"{value.dtype}{list(value.shape)}: outputs whose shape depends on the data cannot be compared"
                )
            if by_row:
                stored[first : first + self._rows] = value[: self._samples - first]
            else:
                stored[run] = value
        self._times[run] = seconds

    def _by_row(self, value: npt.NDArray[Any]) -> bool:
        return self._batched and value.ndim > 0 and value.shape[0] == self._rows

    def _allocate(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        for number, (name, value) in enumerate(arrays.items()):
            if value.dtype.kind not in "fiubc":
                raise Unsupported(f"output '{name}' holds {value.dtype}, which .npy files cannot: cast it in the model")
            shape = (self._samples, *value.shape[1:]) if self._by_row(value) else (self._runs, *value.shape)
            self._arrays[name] = create_array(self._folder / f"{number}.npy", value.dtype, shape)
        index = {name: f"{number}.npy" for number, name in enumerate(arrays)}
        temporary = self._folder / f"{INDEX}.part"
        temporary.write_text(json.dumps(index))
        temporary.replace(self._folder / INDEX)


def read_array(path: Path, mode: Literal["r", "r+"] = "r") -> npt.NDArray[Any]:
    """A `.npy` file of numbers, memory-mapped: its header cannot make anybody reserve memory for what is not there.

    Raises:
        OSError, ValueError: it is missing or damaged; numpy itself raises more than these.
    """
    try:
        return np.lib.format.open_memmap(path, mode=mode)
    except (SyntaxError, tokenize.TokenError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"no array: {one_line(str(error))}") from error


def read_outputs(folder: Path) -> dict[str, npt.NDArray[Any]]:
    """The outputs that a cell stored, memory-mapped read-only, by output name.

    Raises:
        OSError, ValueError: a file is missing or damaged.
    """
    return _load(folder, "r")


def _load(folder: Path, mode: Literal["r", "r+"]) -> dict[str, npt.NDArray[Any]]:
    index = json.loads((folder / INDEX).read_text())
    for file in index.values():
        # The index may be a stranger's, and a path in it would lead out of the folder.
        if not re.fullmatch(r"[0-9]+\.npy", file):
            raise ValueError(f"{INDEX} names a file that deltann does not write: {file}")
    return {name: read_array(folder / file, mode) for name, file in index.items()}


def read_times(folder: Path) -> npt.NDArray[np.float64]:
    """Seconds of each run, NaN where it was not done; empty where nothing ran."""
    path = folder / TIMES
    return np.array(read_array(path)) if path.is_file() else np.empty(0)
