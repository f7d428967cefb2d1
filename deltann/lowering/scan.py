"""Scan's attributes with their defaults: which axes are walked, and which way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deltann.lowering.graph import Graph


@dataclass(frozen=True)
class Walk:
    """`states` values go from step to step; each input is walked along its `axis`, from its end if `backwards`, and
    the values of each output are stacked likewise."""

    body: Graph
    states: int
    inputs: tuple[tuple[int, bool], ...]
    outputs: tuple[tuple[int, bool], ...]


def walk(attributes: Mapping[str, Any]) -> Walk:
    """The walk of a Scan node: opset 8 has no axes (the first is walked), and names its directions otherwise."""
    body, number = attributes["body"], attributes["num_scan_inputs"]
    states = len(body.inputs) - number

    def sides(prefix: str, count: int) -> tuple[tuple[int, bool], ...]:
        axes = attributes.get(f"{prefix}_axes") or [0] * count
        directions = attributes.get(f"{prefix}_directions") or [0] * count
        return tuple((axis, bool(direction)) for axis, direction in zip(axes, directions, strict=True))

    return Walk(body, states, sides("scan_input", number), sides("scan_output", len(body.outputs) - states))
