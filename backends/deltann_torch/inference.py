"""What operators return, without its data: asked of torch while lowering and noted, read back while loading.

torch answers by running an operator on tensors without data, for which it first imports Dynamo and SymPy: 3 s on the
machine where importing torch itself takes 2.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from deltann_torch.table import Fn

_REAL = "real"
"""Noted of outputs that need no data to be known, such as Shape's; they are asked for anew, which costs nothing."""


class Inference:
    """Answers the questions of one build, which asks the same ones in the same order whenever it is repeated."""

    def __init__(self, noted: Sequence[Any] | None = None) -> None:
        self._noted = None if noted is None else iter(noted)
        self._notes: list[Any] = []

    @classmethod
    def read(cls, file: Path) -> Inference:
        """Answers from `file` instead of asking torch."""
        return cls(json.loads(file.read_text()))

    def write(self, file: Path) -> None:
        """Keep the answers given so far."""
        file.write_text(json.dumps(self._notes, separators=(",", ":")))

    def __call__(self, op: str, fn: Fn, arguments: Sequence[Any]) -> list[Any] | None:
        """The outputs of `fn` as tensors without data, or None where they depend on data (or torch cannot say).

        Raises:
            ValueError: what was noted is of another model.
        """
        if self._noted is None:
            answer = _ask(fn, arguments)
            real = answer is not None and all(is_real(value) for value in answer)
            self._notes.append([op, _REAL if real else _note(answer)])
            return answer
        known, note = next(self._noted, ("nothing", None))
        if known != op:
            raise ValueError(f"the artifact holds what {known} returns where {op} is built: delete it")
        return _ask(fn, arguments) if note == _REAL else _recall(note)


def is_real(value: Any) -> bool:
    """Whether `value` is a tensor with data."""
    return isinstance(value, torch.Tensor) and value.device.type != "meta"


def _ask(fn: Fn, arguments: Sequence[Any]) -> list[Any] | None:
    try:
        result = fn(*arguments)
    except (RuntimeError, NotImplementedError, TypeError, ValueError, IndexError):
        # Without data nothing is decided: what is really wrong shows when the module runs.
        return None
    return list(result) if isinstance(result, tuple) else [result]


def _note(value: Any) -> Any:
    if isinstance(value, list):
        return [_note(item) for item in value]
    return {"dtype": str(value.dtype).removeprefix("torch."), "shape": list(value.shape)} if value is not None else None


def _recall(note: Any) -> Any:
    if isinstance(note, list):
        return [_recall(item) for item in note]
    return None if note is None else torch.empty(note["shape"], dtype=getattr(torch, note["dtype"]), device="meta")
