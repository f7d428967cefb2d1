"""A night's records as a site: the matrix, every report, and what changed over the nights.

`python publish.py [--pinned] --results DIR --history FILE --site DIR`: --results holds the folders that run.py wrote,
--history the records of earlier nights, to which these are added. What the matrix has and the night has not is NOT RUN;
with --pinned no pre-releases were meant to run. Prints the matrix in Markdown; a step is a warning.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import plan
import records
import trend
from jinja2 import Environment, FileSystemLoader
from records import Record

RECENT = 14
"""Nights for which a step is news."""
NOT_RUN = "NOT RUN"
REASON = "the row left no record of it: see what its job says"
SILENT = "it does not say what it computed on"
LONGEST = 300
"""Characters of a cell in Markdown; a reason may be a framework's page of text."""


@dataclass(frozen=True)
class Figure:
    """A number followed over the nights: `value` of a record, on the scale that steps are looked for on.

    `resolution`: the smallest change worth telling, of this many nights' samples; `show`: a value in words.
    """

    name: str
    value: Callable[[Record], float | None]
    resolution: float
    show: Callable[[float], str]


def _log_time(record: Record) -> float | None:
    return None if record.slowdown is None or record.slowdown <= -1 else math.log1p(record.slowdown)


def _log_error(record: Record) -> float | None:
    return math.log10(record.max_abs) if record.max_abs else None


FIGURES = (
    Figure("time / reference's", _log_time, 0.02, lambda x: f"{math.exp(x):.2f}×"),
    Figure("labels that differ", lambda record: record.rate, 0.005, lambda x: f"{x:.1%}"),
    Figure("largest |Δ|", _log_error, 0.3, lambda x: f"{10**x:.1e}"),
)


@dataclass(frozen=True)
class Series:
    """One figure of one environment on one model and kind of host, night by night."""

    figure: Figure
    row: str
    newest: bool
    model: str
    environment: str
    host: str
    nights: tuple[str, ...]
    values: tuple[float, ...]

    @property
    def steps(self) -> list[trend.Step]:
        """See `trend.steps`."""
        return trend.steps(self.values, self.figure.resolution)

    @property
    def news(self) -> list[str]:
        """A sentence for each recent step."""
        told = []
        for step in self.steps:
            if step.at >= len(self.nights) - RECENT:
                before, after = (self.figure.show(x) for x in (step.before, step.after))
                pre = " (pre-releases)" if self.newest else ""
                told.append(
                    f"{self.environment}{pre} on {self.model}: {self.figure.name} went from {before} to {after} "
                    f"on {self.nights[step.at]} ({self.host})"
                )
        return told


def series_of(history: Sequence[Record]) -> list[Series]:
    """Every series in the history; nights without a value, a failed cell for one, are left out of it."""
    found: dict[tuple[object, ...], list[tuple[str, float]]] = defaultdict(list)
    for record in history:
        for number, figure in enumerate(FIGURES):
            value = figure.value(record)
            if value is not None and math.isfinite(value):
                key = (number, record.row, record.newest, record.model, record.environment, record.host)
                found[key].append((record.night, value))
    return [
        Series(FIGURES[int(str(key[0]))], *key[1:], *map(tuple, zip(*points, strict=True)))  # type: ignore[arg-type]
        for key, points in sorted(found.items(), key=lambda item: str(item[0]))
    ]


def missing(matrix: plan.Matrix, night: Sequence[Record], *, pinned: bool) -> list[Record]:
    """A record for every (job, environment, model) of the matrix of which the night has none.

    `night` is not empty. `pinned`: no pre-releases were meant to run.
    """
    there = {(record.row, record.newest, record.environment, record.model) for record in night}
    return [
        Record(night[0].night, row.name, job["newest"], model.name, environment, row.device, NOT_RUN, REASON)
        for job in plan.jobs(matrix)
        if not (pinned and job["newest"])
        for row in [matrix.row(job["row"])]
        for environment in row.environments
        for model in matrix.models
        if environment != matrix.reference and (row.name, job["newest"], environment, model.name) not in there
    ]


def words(record: Record) -> str:
    """A cell of the matrix: the standing, and what there is to say about it."""
    if record.status != "OK" or record.astray:
        return f"{record.standing}: {record.reason or record.computed_on or SILENT}"
    told = [record.standing]
    if record.disagreements is not None:
        told.append(f"{record.disagreements} of {record.samples} labels")
    if record.max_abs is not None:
        told.append(f"max |Δ| {record.max_abs:.1e}")
    if record.slowdown is not None and record.slowdown_low is not None and record.slowdown_high is not None:
        low, high = 1 + record.slowdown_low, 1 + record.slowdown_high
        told.append(f"{1 + record.slowdown:.2f}× ({low:.2f} to {high:.2f})")
    return ", ".join(told)


def markdown(night: Sequence[Record], news: Sequence[str]) -> str:
    """The matrix as a Markdown table: an environment a line, a model a column."""
    models = list(dict.fromkeys(record.model for record in night))
    lines = [f"| environment | {' | '.join(models)} |", "|---" * (len(models) + 1) + "|"]
    for title, cells in _by_environment(night).items():
        lines.append(f"| {_plain(title)} | {' | '.join(_plain(cells.get(model, '-')) for model in models)} |")
    return "\n".join([*lines, "", *(f"- {_plain(line)}" for line in news)]) + "\n"


def _by_environment(night: Sequence[Record]) -> Mapping[str, dict[str, str]]:
    found: dict[tuple[str, bool], dict[str, Record]] = defaultdict(dict)
    for record in night:
        found[record.environment, record.newest][record.model] = record
    # A model of the row that did not run does not know which versions the row had.
    titles = {key: sorted(cells.values(), key=lambda r: r.status == NOT_RUN)[0].title for key, cells in found.items()}
    return {titles[key]: {model: words(one) for model, one in cells.items()} for key, cells in found.items()}


def _plain(text: str) -> str:
    """A code span: reasons are frameworks' words, and in it GitHub looks for no markup, link or mention of theirs."""
    shown = "".join(sign if sign.isprintable() else " " for sign in text).replace("`", "'").replace("|", "¦")
    shown = " ".join(shown.split())
    shown = shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"
    return f"`{shown}`" if shown else "–"


def chart(series: Series, width: int = 240, height: int = 48) -> str:
    """The points of a series as an SVG path, oldest left."""
    low, high = min(series.values), max(series.values)
    span = max(high - low, series.figure.resolution)
    right = max(1, len(series.values) - 1)
    at = (
        f"{4 + i * (width - 8) / right:.1f},{height - 4 - (value - low) / span * (height - 8):.1f}"
        for i, value in enumerate(series.values)
    )
    return f"M{' L'.join(at)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish; returns the exit code, which no trend changes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--history", type=Path, required=True)
    parser.add_argument("--site", type=Path, required=True)
    parser.add_argument("--pinned", action="store_true", help="expect no pre-releases")
    parser.add_argument("--matrix", type=Path, default=plan.FILE, help="another matrix than matrix.toml")
    given = parser.parse_args(arguments)
    files = sorted(given.results.rglob("records.jsonl"))
    found = {file: records.read(file) for file in files}
    new = [record for some in found.values() for record in some]
    if not new:
        print(f"{given.results} holds no records.jsonl with a record: run the matrix first", file=sys.stderr)
        return 2
    if not given.history.is_file():
        _warn("No history", f"{given.history} is not there: this is the first night of all, or its cache is gone")
    history = records.merged(records.read(given.history), new)
    given.history.parent.mkdir(parents=True, exist_ok=True)
    records.write(given.history, history)
    last = max(record.night for record in new)
    night = [record for record in history if record.night == last]
    absent = missing(plan.read(given.matrix), night, pinned=given.pinned)
    night += absent
    all_series = series_of(history)
    news = [line for series in all_series for line in series.news]
    reports = _copy_reports([file for file in files if any(one.night == last for one in found[file])], given.site)
    (given.site / "index.html").write_text(page(last, night, news, reports, all_series))
    print(markdown(night, news))
    for line in news:
        _warn("A step in a nightly trend", line)
    for job in sorted({(one.row, one.newest) for one in absent}):
        _warn("A row that did not run", f"{job[0]}{' (pre-releases)' if job[1] else ''} left cells without a record")
    return 0


def page(
    night: str, cells: Sequence[Record], news: Sequence[str], reports: Sequence[str], series: Sequence[Series]
) -> str:
    """The site's page, everything in it escaped."""
    templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
    return templates.get_template("index.html.jinja").render(
        night=night, cells=cells, words=words, news=news, reports=reports, series=series, chart=chart
    )


def _copy_reports(files: Sequence[Path], site: Path) -> list[str]:
    """Copy the HTML reports beside `files` into the site; their paths there."""
    found = []
    for file in files:
        for report in sorted(file.parent.glob("*.html")):
            target = site / file.parent.name / report.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(report, target)
            found.append(f"{file.parent.name}/{report.name}")
    site.mkdir(parents=True, exist_ok=True)
    return found


def _warn(title: str, line: str) -> None:
    if os.environ.get("GITHUB_ACTIONS") == "true":
        print(f"::warning title={title}::{_escaped(line)}", file=sys.stderr)


def _escaped(text: str) -> str:
    """For a workflow command: what GitHub reads as the end of it is encoded."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


if __name__ == "__main__":
    sys.exit(main())
