"""The samples to look at, most serious first: as many as fit, each with its picture."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltann.comparison.flips import Kind
from deltann.pictures import picture
from deltann.report.html.cards import Card, card
from deltann.report.samples import WorstSample, disputed, disputes, worst_samples

if TYPE_CHECKING:
    from deltann.result import Result

MOST = 3000
"""Disputes that are looked at; as a card takes 1.5 kB at least, no more could fit."""
MOST_WORST = 60


@dataclass(frozen=True)
class Disputes:
    """`cards` as HTML, `total` disputes in all; `kinds`: (kind, a label with how many) of those among the cards.

    `worst`: samples whose numbers are furthest apart, each with its picture. `classified`: whether there are labels.
    """

    cards: tuple[str, ...]
    total: int
    kinds: tuple[tuple[str, str], ...]
    worst: tuple[tuple[WorstSample, str], ...]
    worst_left_out: int
    classified: bool

    @property
    def pictured(self) -> bool:
        """Whether any of the samples furthest apart has a picture."""
        return any(picture for _, picture in self.worst)

    @property
    def shown(self) -> bool:
        """Whether there is anything to say of samples: labels, or numbers apart."""
        return self.classified or bool(self.worst)


def pick(result: Result, letters: Mapping[str, str], render: Callable[[Card], str], budget: int) -> Disputes:
    """The most serious disputes whose cards take at most `budget` bytes of UTF-8.

    A third of that may go to pictures of the samples whose numbers are furthest apart.
    """
    worst, worst_left_out, used = _worst(result, budget // 3)
    cards, kinds = [], Counter[str]()
    for place, dispute in enumerate(disputes(result, MOST), 1):
        html = render(card(result, letters, dispute, place, _data_uri(result, dispute.index)))
        used += len(html.encode())
        if used > budget:
            break
        cards.append(html)
        kinds[dispute.kind] += 1
    order = (Kind.FAULT, Kind.BEYOND_ROUNDING, Kind.PRECISION, Kind.TIE)
    return Disputes(
        tuple(cards),
        len(disputed(result)),
        tuple((kind.value, f"{kind.value} ({kinds[kind.value]})") for kind in order if kinds[kind.value]),
        worst,
        worst_left_out,
        bool(result.classes),
    )


def _worst(result: Result, budget: int) -> tuple[tuple[tuple[WorstSample, str], ...], int, int]:
    """The samples furthest apart, each with its picture where that still fits; how many are left out; the bytes."""
    found = worst_samples(result)
    rows, used, seen = [], 0, set[int]()
    for sample in found[:MOST_WORST]:
        uri = "" if sample.index in seen else _data_uri(result, sample.index)
        seen.add(sample.index)
        uri = uri if used + len(uri) <= budget else ""
        used += len(uri)
        rows.append((sample, uri))
    return tuple(rows), len(found) - len(rows), used


def _data_uri(result: Result, index: int) -> str:
    """The picture of a sample; empty where there is none."""
    data = picture(result.run, index)
    return "" if data is None else f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
