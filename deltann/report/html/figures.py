"""Drawings as inline SVG: matplotlib lays them out, the page's style sheet colours them, light or dark."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from deltann.comparison.distribution import Distribution

WIDTH = 8.4
ROW = 0.26
"""Inches."""
_INKS = {
    "#000001": "var(--ink)", "#000002": "var(--quiet)", "#000003": "var(--line)", "#000004": "var(--good-fill)",
    "#000005": "var(--bad-fill)", "#000006": "var(--warn-fill)", "#000007": "var(--paper)",
}  # fmt: skip
INK, QUIET, LINE, GOOD, BAD, WARN, PAPER = _INKS
"""Stand-ins, each replaced by a variable of the style sheet."""
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "deltann", "text.parse_math": False, "axes.formatter.use_mathtext": False,
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 9, "text.color": INK,
    "axes.edgecolor": LINE, "axes.labelcolor": QUIET, "axes.facecolor": "none", "axes.unicode_minus": True,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "xtick.color": QUIET,
    "ytick.color": INK, "xtick.major.size": 3, "ytick.major.size": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Bound:
    """An error beside what is allowed and what float32 has, all in one unit; None where not known."""

    label: str
    error: float
    allowed: float | None
    rounding: float | None
    sound: bool | None


def error_strips(rows: Sequence[tuple[str, Distribution]], title: str, key: str) -> str:
    """A strip a pair: the shade of a bin is its share of the samples; marks at the median and at the largest.

    `key` is another for each drawing of a page; `title` is for who cannot see it.
    """
    within = [edge for _, found in rows for edge in found.edges if 0 < edge < math.inf]
    low, high = (min(within), max(within)) if within else (1e-7, 1.0)
    with mpl.rc_context(_SETTINGS):
        figure, axes = _axes(len(rows))
        for place, (_, found) in enumerate(rows):
            for left, right, count in zip(found.edges[:-1], found.edges[1:], found.counts, strict=True):
                if count:
                    share = count / found.samples
                    axes.barh(place, right - left, 0.74, left, color=GOOD, alpha=0.12 + 0.88 * math.sqrt(share), lw=0)
            for value, mark, size in ((found.p50, "|", 11), (found.max, "D", 4)):
                if 0 < value < math.inf:
                    axes.plot([value], [place], mark, color=INK, markersize=size, markeredgewidth=1.6)
        _finish(axes, [label for label, _ in rows], low / 1.6, high * 1.6, "largest |Δ| of a sample (log scale)")
        return _svg(figure, title, key)


def bounds(rows: Sequence[Bound], title: str, key: str) -> str:
    """A line an environment: its error as a dot, what is allowed as a bar's end, float32's rounding as a tick.

    `title` and `key` as of `error_strips`.
    """
    values = [v for row in rows for v in (row.error, row.allowed, row.rounding) if v is not None and 0 < v < math.inf]
    low, high = (min(values), max(values)) if values else (1e-7, 1.0)
    low, high = low / 3, high * 3
    with mpl.rc_context(_SETTINGS):
        figure, axes = _axes(len(rows))
        for place, row in enumerate(rows):
            if row.allowed:
                axes.barh(place, row.allowed - low, 0.5, low, color=LINE, lw=0)
                axes.plot([row.allowed] * 2, [place - 0.34, place + 0.34], color=QUIET, lw=1.4)
            if row.rounding:
                axes.plot([row.rounding], [place], "|", color=QUIET, markersize=9, markeredgewidth=1.2)
            colour, mark = {True: (GOOD, "o"), False: (BAD, "X"), None: (WARN, "s")}[row.sound]
            if 0 < row.error < math.inf:
                axes.plot([row.error], [place], mark, color=colour, markersize=7, markeredgecolor=INK, mew=0.6)
        _finish(axes, [row.label for row in rows], low, high, "error beside float64, root mean square (log scale)")
        return _svg(figure, title, key)


def _axes(rows: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, 0.62 + ROW * max(rows, 1)))
    FigureCanvasSVG(figure)
    return figure, figure.add_axes(
        (0.08, 0.5 / figure.get_figheight(), 0.9, ROW * max(rows, 1) / figure.get_figheight())
    )


def _finish(axes: Axes, labels: Sequence[str], low: float, high: float, what: str) -> None:
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    if high / low < 100:
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), labels)
    axes.xaxis.set_major_formatter(
        lambda value, _: f"{value:g}" if 1e-3 < value < 1e4 else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    )
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", color=LINE, lw=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(what)


def _svg(figure: Figure, title: str, key: str) -> str:
    """The drawing alone, its colours and its text left to the page, and its names made its own."""
    from markupsafe import escape

    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    text = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{key}-", text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    for stand_in, variable in _INKS.items():
        text = text.replace(stand_in, variable)
    head, _, rest = text.partition(">")
    head = re.sub(r' (width|height|xmlns:xlink|version)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{escape(title)}" class="figure">{rest}'
