"""Channels-last beside ONNX's own layout: (batch, channels, space…) becomes (batch, space…, channels)."""

from __future__ import annotations

from deltann.lowering.shapes import axis_of

RANKS = (3, 4, 5)
"""The ranks of tensors that have a batch, channels, and one to three axes of space."""


def to_last(rank: int) -> tuple[int, ...]:
    """The permutation that puts the channels last."""
    return (0, *range(2, rank), 1)


def to_first(rank: int) -> tuple[int, ...]:
    """The opposite of `to_last`."""
    return (0, rank - 1, *range(1, rank - 1))


def axis_last(axis: int, rank: int) -> int:
    """Where an axis of ONNX's layout lies in a channels-last tensor.

    Raises:
        ValueError: the axis lies outside `[-rank, rank)`.
    """
    return to_last(rank).index(axis_of(axis, rank))
