"""Sequences of tensors, held as lists, and optional values."""

from __future__ import annotations

from typing import Any

import torch

from deltann_torch.call import Call
from deltann_torch.table import Fn, op, plain

plain("SequenceConstruct", lambda *values: list(values))
plain("SequenceAt", lambda sequence, at: sequence[int(at)])
plain("OptionalGetElement", lambda value: value)
plain("OptionalHasElement", lambda value=None: torch.tensor(value is not None), made=True)
plain("SequenceLength", lambda sequence: torch.tensor(len(sequence)), made=True)


@op("SequenceEmpty")
def _empty(_call: Call) -> Fn:
    return list


@op("SequenceInsert")
def _insert(_call: Call) -> Fn:
    def run(sequence: list[Any], value: Any, at: Any = None) -> list[Any]:
        where = len(sequence) if at is None else int(at)
        where = where + len(sequence) if where < 0 else where
        return [*sequence[:where], value, *sequence[where:]]

    return run


@op("SequenceErase")
def _erase(_call: Call) -> Fn:
    def run(sequence: list[Any], at: Any = None) -> list[Any]:
        where = (len(sequence) - 1 if at is None else int(at)) % len(sequence)
        return [*sequence[:where], *sequence[where + 1 :]]

    return run


@op("SplitToSequence", host=(1,))
def _split(call: Call) -> Fn:
    axis, keep = call.get("axis", 0), bool(call.get("keepdims", 1))

    def run(x: Any, parts: Any = None) -> list[Any]:
        pieces = list(torch.split(x, 1 if parts is None else parts, axis))
        return [piece.squeeze(axis) for piece in pieces] if parts is None and not keep else pieces

    return run


@op("ConcatFromSequence")
def _concat(call: Call) -> Fn:
    axis, new = call.get("axis"), call.get("new_axis", 0)
    return lambda sequence: (torch.stack if new else torch.cat)(sequence, axis)
