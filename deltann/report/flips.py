"""Label flips, as `deltann.frames.flip_rows` gives them, in the words of a report."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deltann.result import Result


def margin(row: Mapping[str, Any]) -> float:
    """The larger of both sides' margins, in the unit of the scores; infinite where one is not finite."""
    margins = (row["candidate_margin"], row["reference_margin"])
    return max(math.inf if margin is None else margin for margin in margins)


def label_text(result: Result, label: int, output: str, named: Callable[[str], str] = "({})".format) -> str:
    """`3 (tench)`, with the class's name as `named` shows it, where it has one; `NaN` where nothing was predicted."""
    name = result.class_name(label, output)
    return "NaN" if label < 0 else f"{label} {named(name)}" if name else str(label)
