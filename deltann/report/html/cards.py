"""One sample that environments classify differently: what everybody makes of it, and what that comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltann.comparison.flips import Kind
from deltann.report.words import score, shown

if TYPE_CHECKING:
    from deltann.report.samples import Dispute
    from deltann.result import Result

TONES = {Kind.FAULT: "bad", Kind.BEYOND_ROUNDING: "bad", Kind.PRECISION: "warn", Kind.TIE: "none"}
MARKS = {Kind.FAULT: "✕", Kind.BEYOND_ROUNDING: "≠", Kind.PRECISION: "≈", Kind.TIE: "="}
NO_LABEL = "NaN"
LONGEST_NAME = 48

Best = tuple[tuple[str, str], ...]
"""Classes with their scores, the best first."""


@dataclass(frozen=True)
class Line:
    """What some cells make of a sample, equal to the digits shown: their best classes, and the margin.

    `odd`: the first class is not what float64 (or most cells) chose. `wrong`: that is not excused.
    """

    cells: tuple[str, ...]
    best: Best
    margin: str
    odd: bool
    wrong: bool


@dataclass(frozen=True)
class Card:
    """A dispute as shown; `picture` is a data URI or empty, `text` what the filter looks into."""

    number: int
    dispute: Dispute
    mark: str
    tone: str
    picture: str
    expected: str
    arbiter: str
    triage: str
    lines: tuple[Line, ...]
    text: str


def card(result: Result, letters: Mapping[str, str], dispute: Dispute, number: int, picture: str) -> Card:
    """The card of a dispute, the `number`-th of the page."""

    def name(label: int | None) -> str:
        if label is None:
            return ""
        called = result.class_name(label, dispute.output)
        return NO_LABEL if label < 0 else str(label) if called is None else f"{label} {shown(called, LONGEST_NAME)}"

    tops = [choice.labels[0] for choice in dispute.choices]
    usual = dispute.arbiter if dispute.arbiter is not None else max(tops, key=tops.count, default=None)
    groups: dict[tuple[Best, str, bool, bool], list[str]] = {}
    for choice in dispute.choices:
        best = tuple((name(label), score(value)) for label, value in zip(choice.labels, choice.scores, strict=True))
        key = (best, score(choice.margin), choice.labels[0] != usual, choice.cell in dispute.wrong)
        groups.setdefault(key, []).append(choice.cell)
    lines = tuple(Line(tuple(cells), best, margin, odd, wrong) for (best, margin, odd, wrong), cells in groups.items())
    kind = Kind(dispute.kind)
    expected, arbiter = name(dispute.expected), name(dispute.arbiter)
    words = [shown(dispute.name), shown(dispute.output), kind.value, expected, arbiter]
    words += dict.fromkeys(line.best[0][0] for line in lines)
    words += [shown(cell, 80) for line in lines if line.odd for cell in line.cells]
    return Card(
        number=number,
        dispute=dispute,
        mark=MARKS[kind],
        tone=TONES[kind],
        picture=picture,
        expected=expected,
        arbiter=arbiter,
        triage=_triage(dispute, letters),
        lines=lines,
        text=" ".join(words),
    )


def _triage(dispute: Dispute, letters: Mapping[str, str]) -> str:
    """Why it is of its kind, in a sentence or two, by the numbers of its most serious pair."""
    row = dispute.pairs[0]
    who = " and ".join(letters.get(cell, cell) for cell in dispute.wrong)
    sentence = {
        Kind.FAULT: f"{who or 'A side'} chose a class that float64 does not excuse, beyond rounding and precision.",
        Kind.BEYOND_ROUNDING: "The labels differ by more than rounding explains; float64 did not see this sample.",
        Kind.PRECISION: f"No tie, but within what the precision of {who or 'a side'} can give.",
        Kind.TIE: "The two classes are so near that rounding may choose either.",
    }[Kind(dispute.kind)]
    if dispute.wrong == ("models",):
        sentence = "Each side follows its own model: the two models choose differently in float64 too."
    sides = [
        f"{letters[row[side]]} prefers its own label by {score(row[f'{side}_margin'])}"
        for side in ("candidate", "reference")
        if row[f"{side}_margin"] is not None
    ]
    if sides and row["envelope"] is not None:
        sentence += f" {', '.join(sides)}; up to {score(row['envelope'])} is explained."
    return sentence
