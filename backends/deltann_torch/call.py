"""What a factory of the operator table may ask about the node it lowers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from deltann.lowering.call import NodeCall
from deltann.lowering.graph import Graph
from deltann_torch.dtypes import at_precision, to_torch, torch_dtype


@dataclass
class Call(NodeCall):
    """A node with what is known of its inputs at build time.

    `constants` are tensors known now; `metas` are tensors without data that tell shape and dtype; both are None where
    nothing is known. `extras` are further constants that the callable takes after the node's own inputs.
    """

    metas: tuple[Any, ...]
    precision: torch.dtype | None
    subgraph: Callable[[Graph, Mapping[str, Any]], Any]
    extras: list[torch.Tensor] = field(default_factory=list)

    def shape(self, index: int) -> tuple[int, ...] | None:
        """The input's shape where it is known at build time, else None."""
        meta = self.metas[index] if self.has(index) else None
        return tuple(meta.shape) if isinstance(meta, torch.Tensor) else None

    def dtype(self, index: int) -> torch.dtype | None:
        """The input's dtype where it is known at build time, else None."""
        meta = self.metas[index] if self.has(index) else None
        return meta.dtype if isinstance(meta, torch.Tensor) else None

    def element(self, element: int) -> torch.dtype:
        """The torch dtype of an ONNX element type, at the precision that the run asks for."""
        return at_precision(torch_dtype(element), self.precision)

    def tensor(self, array: Any) -> torch.Tensor:
        """A constant in its own type; the precision that the run asks for is applied where it is used."""
        return to_torch(np.asarray(array), own=True)
