"""The operator table: (domain, operator, first opset) → a factory that makes the callable for one node.

A factory sees the node once, when the module is built, and precomputes all that does not depend on data. The callable
takes the node's inputs in order, None for an omitted optional one, and returns a tensor, or a tuple where the node
has several outputs. Inputs listed in `host` reach it as plain Python numbers and lists (shapes, axes, pads), so that
a graph with static shapes traces without breaks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from deltann.lowering.attributes import since

if TYPE_CHECKING:
    from deltann_torch.call import Call

Fn: TypeAlias = Any  # a callable; torch's own are untyped
Factory = Callable[["Call"], Fn]

OLDEST, NEWEST = 7, 28
"""The opsets of the default domain that the table has been checked against."""


@dataclass(frozen=True)
class Entry:
    """How one operator is lowered from opset `since` on, until the next entry for it.

    `modular`: on unsigned integers, which torch computes hardly at all, a wider or two's complement type gives the
    right bits. `ordered`: the same after flipping the sign bit of 64-bit ones.
    """

    since: int
    factory: Factory
    host: tuple[int, ...] = ()
    unsigned: str = ""


_TABLE: dict[tuple[str, str], list[Entry]] = {}


def op(
    name: str, first: int = 1, *, domain: str = "", host: tuple[int, ...] = (), unsigned: str = ""
) -> Callable[[Factory], Factory]:
    """Enter the decorated factory as the lowering of `name` from opset `first` on."""

    def enter(factory: Factory) -> Factory:
        entries = _TABLE.setdefault((domain, name), [])
        entries.append(Entry(first, factory, host, unsigned))
        entries.sort(key=lambda entry: entry.since)
        return factory

    return enter


def plain(name: str, fn: Fn, first: int = 1, *, unsigned: str = "") -> None:
    """Enter an operator that is one torch function of its inputs, whatever its attributes and opset."""
    op(name, first, unsigned=unsigned)(lambda _call: fn)


def find(name: str, domain: str, opset: int) -> Entry | None:
    """The entry for an operator as `opset` defines it, or None."""
    first = since(name, domain, opset)
    fitting = [entry for entry in _TABLE.get((domain, name), ()) if entry.since <= first]
    return fitting[-1] if fitting else None


_WIDER = {torch.uint16: torch.int32, torch.uint32: torch.int64}
_SIGN = -(1 << 63)


def widened(fn: Fn, dtype: torch.dtype, same: tuple[bool, ...], outputs: tuple[bool, ...], ordered: bool) -> Fn:
    """`fn` on unsigned integers of 16, 32 or 64 bits, by way of a signed type.

    `same` and `outputs` tell which inputs and outputs have that unsigned type.
    """
    wide = _WIDER.get(dtype, torch.int64)
    flip = ordered and dtype == torch.uint64

    def enter(value: Any) -> Any:
        return (value.to(wide) ^ _SIGN) if flip else value.to(wide)

    def leave(value: Any) -> Any:
        return (value ^ _SIGN if flip else value).to(dtype)

    def run(*args: Any) -> Any:
        result = fn(*(enter(a) if s and a is not None else a for a, s in zip(args, same, strict=True)))
        if not isinstance(result, tuple):
            return leave(result) if outputs[0] else result
        return tuple(leave(r) if o else r for r, o in zip(result, outputs, strict=False))

    return run
