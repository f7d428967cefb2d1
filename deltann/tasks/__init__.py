"""How outputs become predictions, and how two predictions disagree."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy.typing as npt


class Task(StrEnum):
    """What an output means. TENSOR: numbers without further meaning."""

    CLASSIFICATION = "classification"
    TENSOR = "tensor"


def infer_task(output: npt.NDArray[Any]) -> Task:
    """CLASSIFICATION for floating-point scores [N, C] or [N, C, 1, 1] with C >= 2; TENSOR for all else."""
    scores = output.ndim == 2 or (output.ndim == 4 and output.shape[2:] == (1, 1))
    return Task.CLASSIFICATION if scores and output.dtype.kind == "f" and output.shape[1] >= 2 else Task.TENSOR
