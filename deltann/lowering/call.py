"""What a factory of an operator table may ask about the node it lowers, as far as no framework is needed to tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deltann.errors import Unsupported
from deltann.lowering.graph import Node


@dataclass
class NodeCall:
    """A node, and the values of its inputs that are known when the model is built (None: not known)."""

    node: Node
    constants: tuple[Any, ...]

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, or `default` where neither the node nor the schema gives it."""
        return self.node.attributes.get(name, default)

    @property
    def n_inputs(self) -> int:
        return len(self.node.inputs)

    @property
    def n_outputs(self) -> int:
        return len(self.node.outputs)

    def wants(self, output: int) -> bool:
        """Whether the node names that output."""
        return output < len(self.node.outputs) and bool(self.node.outputs[output])

    def has(self, index: int) -> bool:
        """Whether the node has that optional input."""
        return index < len(self.node.inputs) and bool(self.node.inputs[index])

    def constant(self, index: int) -> Any:
        """The input's value where it is known at build time, else None."""
        return self.constants[index] if self.has(index) else None

    def unsupported(self, what: str) -> Unsupported:
        """The error that says what of this operator cannot be lowered."""
        return Unsupported(f"{self.node}: {what}")
