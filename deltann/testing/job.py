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


def prepare_request(spec: str, model: Model, cache: Path) -> dict[str, Any]:
    """Lower `model` in the environment `spec`, or find it in `cache`, and load it."""
    return {"op": "prepare", "environment": spec, "model": model.to_json(), "cache": str(cache)}


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
        files = {name: folder / f"input{number}.npy" for number, name in enumerate(samples)}
        for name, file in files.items():
            np.save(file, samples[name])
        return cls(tiny, model, samples, files)

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
        return {
            "op": "run",
            "inputs": {name: str(file) for name, file in self.files.items()},
            "out": str(out),
            "samples": self.count,
            "rows": self.tiny.rows or 1,
            "batched": self.tiny.rows is not None,
        }
