"""The operator table of an adapter: (domain, operator, first opset) → a factory that makes the callable for one node.

A factory sees the node once, when the model is built, and precomputes all that does not depend on data. The callable
takes the node's inputs in order, None for an omitted optional one, and returns a value, or a tuple where the node has
several outputs. Inputs listed in `host` reach it as plain Python numbers and lists (shapes, axes, pads).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from deltann.lowering.attributes import since

Fn: TypeAlias = Any  # a callable; the frameworks' own are untyped
Factory: TypeAlias = Callable[[Any], Fn]

OLDEST, NEWEST = 7, 28
"""The opsets of the default domain that the tables have been checked against."""


@dataclass(frozen=True)
class Entry:
    """How one operator is lowered from opset `since` on, until the next entry for it.

    `traits` are an adapter's own words about the callable, which its builder reads.
    """

    since: int
    factory: Factory
    host: tuple[int, ...] = ()
    traits: Mapping[str, Any] = field(default_factory=dict)


class Table:
    """The entries of one adapter, filled while its modules of operators are imported."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], list[Entry]] = {}

    def op(
        self, name: str, first: int = 1, *, domain: str = "", host: tuple[int, ...] = (), **traits: Any
    ) -> Callable[[Factory], Factory]:
        """Enter the decorated factory as the lowering of `name` from opset `first` on."""

        def enter(factory: Factory) -> Factory:
            entries = self._entries.setdefault((domain, name), [])
            entries.append(Entry(first, factory, host, traits))
            entries.sort(key=lambda entry: entry.since)
            return factory

        return enter

    def plain(self, name: str, fn: Fn, first: int = 1, **traits: Any) -> None:
        """Enter an operator that is one function of its inputs, whatever its attributes and opset."""
        self.op(name, first, **traits)(lambda _call: fn)

    def find(self, name: str, domain: str, opset: int) -> Entry | None:
        """The entry for an operator as `opset` defines it, or None."""
        first = since(name, domain, opset)
        fitting = [entry for entry in self._entries.get((domain, name), ()) if entry.since <= first]
        return fitting[-1] if fitting else None
