"""Models that are objects of a framework: exported to ONNX on the way, and run as they are, in the cell `native`.

What an export must not change is what the object itself computes, so that is an environment beside the others. It runs
in this process, since objects are never pickled; where it alone differs, the export is what changed the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from deltann.backend import Tensors
from deltann.model import TensorSpec

NATIVE = "native"
"""The environment of the object itself; no backend may have that name."""
BATCH = "batch"
"""The first dimension of every input of an export that takes any number of samples a run."""


@dataclass(frozen=True)
class Native:
    """The object as its framework runs it, without training or gradients.

    `run` takes and gives arrays by the exported model's names. `version` names the framework too; `actual` holds
    the keys of `deltann.backend.ACTUAL`, and its note how the export was made.
    """

    run: Callable[[Tensors], Tensors]
    version: str
    actual: Mapping[str, str]


class Exporter(Protocol):
    """What makes ONNX of a framework's objects: an entry point of the group `deltann.exporters`.

    It is named after the package that the objects' classes come from. Its exceptions are told to the user as they are.
    """

    backend: ClassVar[str]
    """The backend of the same framework, which shares its mistakes: the two are one voice when blame is found."""

    def inputs(self, model: Any, given: Sequence[str]) -> tuple[TensorSpec, ...]:
        """What `model` is called with, in that order; `given` are the names that the user feeds.

        `shape` is None where the object does not know it; `dtype` is then that of its floats, and says nothing of an
        input that is fed with integers.

        Raises:
            UsageError: it cannot be called, or not with these names.
        """
        ...

    def export(self, model: Any, inputs: Sequence[TensorSpec], path: Path) -> Native:
        """Write `path`, an ONNX file with inputs of these names, types and shapes, whose first dimension may be
        `BATCH`. `model` is left as it was. The same object should give the same bytes each time: another file is
        another model to a run that is to go on, and to a baseline.
        """
        ...
