"""The requests that have a worker lower a tiny model and run samples through it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deltann.model import Model
from deltann.testing.tiny import TinyModel

_SEED = 1001


def prepare_request(
    spec: str, model: Model, cache: Path, calibration: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Lower `model` in the environment `spec`, after what `Job.calibration` gave, or find it in `cache`; load it."""
    prepare = {"op": "prepare", "environment": spec, "model": model.to_json(), "cache": str(cache)}
    return prepare if calibration is None else {**prepare, "calibration": calibration}


@dataclass(frozen=True)
class Job:
    """A saved tiny model and `samples` for it, [count, …] each, which lie in `files` too."""

    tiny: TinyModel
    model: Model
    samples: Mapping[str, npt.NDArray[Any]]
    files: Mapping[str, Path]

    @classmethod
    def save(cls, tiny: TinyModel, folder: Path, count: int, seed: int) -> Job:
        """Write the model and `count` random samples into `folder`."""
        model = tiny.save(folder)
        samples = tiny.samples(model, count, seed)
        return cls(tiny, model, samples, _save(samples, folder, "input"))

    @property
    def count(self) -> int:
        """The number of samples."""
        return len(next(iter(self.samples.values())))

    @property
    def expected(self) -> dict[str, npt.NDArray[Any]]:
        """The right outputs, [count, …] each."""
        return self.tiny.answers(self.model, self.samples)

    def run_request(self, out: Path) -> dict[str, Any]:
        """Run all samples, the outputs going to `out`."""
        return {"op": "run", "out": str(out), **self._fed(self.files, self.count)}

    def calibration(self, folder: Path, count: int, last: float = 1) -> dict[str, Any]:
        """`count` samples of their own, written into `folder`, for `prepare_request`; the last one times `last`."""
        samples = self.tiny.samples(self.model, count, _SEED)
        for array in samples.values():
            array[-1] = (array[-1] * last).astype(array.dtype)
        return self._fed(_save(samples, folder, "calibration"), count)

    def _fed(self, files: Mapping[str, Path], count: int) -> dict[str, Any]:
        inputs = {name: str(file) for name, file in files.items()}
        return {"inputs": inputs, "samples": count, "rows": self.tiny.rows or 1, "batched": self.tiny.rows is not None}


def _save(samples: Mapping[str, npt.NDArray[Any]], folder: Path, prefix: str) -> dict[str, Path]:
    files = {name: folder / f"{prefix}{number}.npy" for number, name in enumerate(samples)}
    for name, file in files.items():
        np.save(file, samples[name])
    return files
