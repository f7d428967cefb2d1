"""The samples to look at, most serious first, as many as fit: each with its picture and what everybody made of it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltann.comparison.flips import Kind
from deltann.pictures import picture
from deltann.report.html.words import score, shown
from deltann.report.samples import Dispute, WorstSample, disputed, disputes, worst_samples

if TYPE_CHECKING:
    from deltann.result import Result

MOST = 3000
"""Disputes that are looked at; as a card takes 1.5 kB at least, no more could fit."""
MOST_WORST = 60
TONES = {Kind.FAULT: "bad", Kind.BEYOND_ROUNDING: "bad", Kind.PRECISION: "warn", Kind.TIE: "none"}
MARKS = {Kind.FAULT: "✕", Kind.BEYOND_ROUNDING: "≠", Kind.PRECISION: "≈", Kind.TIE: "="}
NO_LABEL = "NaN"


@dataclass(frozen=True)
class Line:
    """What some cells make of a sample, equal to the digits shown: their best classes as (class, score), the margin.

    `odd`: the first class is not what float64 (or most cells) chose. `wrong`: that is not excused.
    """

    cells: tuple[str, ...]
    best: tuple[tuple[str, str], ...]
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


@dataclass(frozen=True)
class Disputes:
    """`cards` as HTML, `total` disputes in all; `kinds`: (kind, a label with how many) of those among the cards."""

    cards: tuple[str, ...]
    total: int
    kinds: tuple[tuple[str, str], ...]
    worst: tuple[tuple[WorstSample, str], ...]
    worst_left_out: int
    classified: bool

    @property
    def shown(self) -> bool:
        """Whether there is anything to say of samples: labels, or numbers apart."""
        return bool(self.classified or self.worst)


def pick(result: Result, letters: Mapping[str, str], render: Callable[[Card], str], budget: int) -> Disputes:
    """The most serious disputes whose cards take at most `budget` bytes of UTF-8, a third of which may be pictures of
    samples without a dispute.
    """
    worst, worst_left_out, used = _worst(result, budget // 3)
    cards, kinds = [], dict.fromkeys((kind.value for kind in Kind), 0)
    for place, dispute in enumerate(disputes(result, MOST), 1):
        card = render(_card(result, letters, dispute, place))
        used += len(card.encode("utf-8", "replace"))
        if used > budget:
            break
        cards.append(card)
        kinds[dispute.kind] += 1
    found = disputed(result)
    order = (Kind.FAULT, Kind.BEYOND_ROUNDING, Kind.PRECISION, Kind.TIE)
    return Disputes(
        tuple(cards),
        len(found),
        tuple((kind.value, f"{kind.value} ({kinds[kind]})") for kind in order if kinds[kind]),
        worst,
        worst_left_out,
        bool(result.classes),
    )


def _worst(result: Result, budget: int) -> tuple[tuple[tuple[WorstSample, str], ...], int, int]:
    """The samples furthest apart, each with its picture where that still fits; how many are left out; the bytes."""
    found = worst_samples(result)
    rows, used, seen = [], 0, set[int]()
    for sample in found[:MOST_WORST]:
        uri = "" if sample.index in seen else data_uri(result, sample.index)
        seen.add(sample.index)
        uri = uri if used + len(uri) <= budget else ""
        used += len(uri)
        rows.append((sample, uri))
    return tuple(rows), len(found) - len(rows), used


def data_uri(result: Result, index: int) -> str:
    """The picture of a sample; empty where there is none."""
    data = picture(result.run, index)
    return "" if data is None else f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def _card(result: Result, letters: Mapping[str, str], dispute: Dispute, place: int) -> Card:
    tops = [choice.labels[0] for choice in dispute.choices]
    usual = dispute.arbiter if dispute.arbiter is not None else max(tops, key=tops.count, default=None)

    def name(label: int) -> str:
        if label < 0:
            return NO_LABEL
        called = result.class_name(label, dispute.output)
        return str(label) if called is None else f"{label} {shown(called, 48)}"

    groups: dict[tuple[tuple[tuple[str, str], ...], str, bool, bool], list[str]] = {}
    for choice in dispute.choices:
        named = tuple((name(of), score(value)) for of, value in zip(choice.labels, choice.scores, strict=True))
        key = (named, score(choice.margin), choice.labels[0] != usual, choice.cell in dispute.wrong)
        groups.setdefault(key, []).append(choice.cell)
    lines = tuple(Line(tuple(cells), *key) for key, cells in groups.items())
    expected = "" if dispute.expected is None else name(dispute.expected)
    arbiter = "" if dispute.arbiter is None else name(dispute.arbiter)
    kind = Kind(dispute.kind)
    named = dict.fromkeys(line.best[0][0] for line in lines)
    text = " ".join([shown(dispute.name), shown(dispute.output), kind.value, expected, arbiter, *named])
    return Card(
        place, dispute, MARKS[kind], TONES[kind], data_uri(result, dispute.index), expected, arbiter,
        _triage(dispute, letters), lines, " ".join([text, *(shown(cell, 80) for line in lines if line.odd for cell in line.cells)]),
    )  # fmt: skip


def _triage(dispute: Dispute, letters: Mapping[str, str]) -> str:
    """Why it is of its kind, in a sentence or two, by the numbers of its most serious pair."""
    row = dispute.pairs[0]
    who = " and ".join(letters.get(cell, cell) for cell in dispute.wrong)
    sentence = {
        Kind.FAULT: f"{who} chose a class that float64 does not excuse, beyond rounding and precision.",
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
