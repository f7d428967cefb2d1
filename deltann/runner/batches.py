"""Stored samples as the batches that an executable takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from deltann.backend import Tensors


class Batches(Sequence[Tensors]):
    """The inputs of each run over the first `samples` rows of `.npy` files [N, …], read when asked for.

    `rows` samples a run where the model is `batched`; a last, short batch repeats its last row, so that all runs have
    one shape.
    """

    def __init__(self, files: Mapping[str, Path], samples: int, rows: int, batched: bool) -> None:
        self._arrays = {name: np.load(file, mmap_mode="r", allow_pickle=False) for name, file in files.items()}
        self._samples, self._rows, self._batched = samples, rows, batched

    def __len__(self) -> int:
        return -(-self._samples // self._rows)

    @overload
    def __getitem__(self, run: int) -> Tensors: ...
    @overload
    def __getitem__(self, run: slice) -> Sequence[Tensors]: ...
    def __getitem__(self, run: int | slice) -> Tensors | Sequence[Tensors]:
        if isinstance(run, slice):
            return [self[number] for number in range(*run.indices(len(self)))]
        if not -len(self) <= run < len(self):
            raise IndexError(run)
        return {name: self._rows_of(array, run % len(self)) for name, array in self._arrays.items()}

    def _rows_of(self, array: npt.NDArray[Any], run: int) -> npt.NDArray[Any]:
        if not self._batched:
            return np.asarray(array[run])
        batch = np.asarray(array[run * self._rows : min((run + 1) * self._rows, self._samples)])
        if len(batch) < self._rows:
            batch = np.concatenate([batch, np.repeat(batch[-1:], self._rows - len(batch), axis=0)])
        return batch
