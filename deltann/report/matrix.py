"""The agreement matrix: a square for each pair, its mark the verdict, its shade how much of it disagrees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltann.outcome import Status
from deltann.report.words import MARKS, TONES, percent

if TYPE_CHECKING:
    from deltann.comparison.output import OutputComparison
    from deltann.judging import Pair
    from deltann.result import Result

LEVELS = 8
MOST_CELLS = 40
"""Rows and columns: 1,600 squares; the table of pairs has the rest."""


@dataclass(frozen=True)
class Square:
    """`text` and `rate` as shown; `level` 0 to `LEVELS` is its shade; `told`: the same in words."""

    mark: str
    tone: str
    text: str
    rate: str
    level: int
    told: str
    pair: int
    judged: bool


@dataclass(frozen=True)
class Matrix:
    """`rows`: by cell a square a column; None where a cell meets itself, or a pair is none of the run."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Square | None, ...]], ...]
    left_out: int


def matrix(result: Result) -> Matrix | None:
    """None where nothing could be compared. Of two models the rows are the second's cells, the columns the first's."""
    pairs = [pair for pair in result.compared if pair.comparison]
    if not pairs:
        return None
    classified = any(output.classification for pair in pairs for output in _outputs(pair))
    squares = {}
    for position, pair in enumerate(result.compared):
        squares[str(pair.candidate), str(pair.reference)] = _square(pair, position, classified)
    names = [str(record.cell) for record in result.records if record.outcome.status is Status.OK]
    firsts = {str(record.cell) for record in result.records if record.cell.role == "model"}
    two = not firsts.issuperset(names)
    columns = [name for name in names if name in firsts or not two]
    rows = [name for name in names if name not in firsts or not two]
    kept = (rows[:MOST_CELLS], columns[:MOST_CELLS])
    return Matrix(
        "Samples whose top-1 label differs" if classified else "Elements outside the tolerance",
        tuple(kept[1]),
        tuple((row, tuple(squares.get((row, c)) or squares.get((c, row)) for c in kept[1])) for row in kept[0]),
        len(set(names) - set(kept[0]) - set(kept[1])),
    )


def _outputs(pair: Pair) -> Sequence[OutputComparison]:
    return pair.comparison.outputs if pair.comparison else ()


def _square(pair: Pair, position: int, classified: bool) -> Square:
    verdict = pair.judgement.verdict
    found = worst(_outputs(pair), classified)
    text, rate, level = "", "", 0
    what = "labels differ" if classified else "elements are outside the tolerance"
    told = "outputs of other names or shapes" if pair.comparison else pair.judgement.reasons[0]
    if found is not None:
        share = found[0] / max(1, found[1])
        text, rate = f"{found[0]:,}", percent(share)
        level = math.ceil(LEVELS * math.sqrt(share)) if found[0] else 0
        told = f"{found[0]:,} of {found[1]:,} {what} ({rate})"
    told = f"{pair.candidate} against {pair.reference}: {verdict.value}; {told}"
    return Square(MARKS[verdict], TONES[verdict], text, rate, level, told, position, pair.judged)


def worst(outputs: Sequence[OutputComparison], classified: bool) -> tuple[int, int] | None:
    """The count and the total of the output that disagrees most; None where nothing can be counted."""
    if classified:
        found = [(o.classification.disagreements, o.classification.samples) for o in outputs if o.classification]
    else:
        found = [(o.numeric.outside + o.numeric.nonfinite_one_side, o.numeric.elements) for o in outputs if o.numeric]
    return max(found, key=lambda item: item[0] / max(1, item[1]), default=None)
