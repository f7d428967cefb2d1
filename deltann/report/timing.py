"""What `deltann bench` shows: how slow, beside what, how sure, and what this machine could have told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from deltann.comparison.verdict import Verdict
from deltann.outcome import Status
from deltann.report.tables import plain_table, plain_text
from deltann.report.words import count, letter
from deltann.timing.series import FEWEST_ROUNDS
from deltann.timing.stored import rounds_short
from deltann.timing.verdict import TimeVerdict

if TYPE_CHECKING:
    from deltann.timing.against import Against
    from deltann.timing.calibration import Calibration
    from deltann.timing.stored import CellTime, PairTime, Timing

_STYLES = {
    TimeVerdict.REGRESSION: "bold red",
    TimeVerdict.IMPROVED: "green",
    TimeVerdict.EQUIVALENT: "green",
    TimeVerdict.INCONCLUSIVE: "yellow",
}
_SENTENCES = {
    TimeVerdict.REGRESSION: "at least one environment is slower than the reference",
    TimeVerdict.IMPROVED: "every environment is faster than the reference",
    TimeVerdict.EQUIVALENT: "no environment is slower than the reference",
    TimeVerdict.INCONCLUSIVE: "nothing is known to be slower, but these times could not have told",
}
_RIGHT = (
    "ms/sample",
    "slowdown",
    "slowdown then",
    "load s",
    "first ms",
    "peak MiB",
    "artifact MiB",
    "ms then",
    "ms now",
    "then",
    "now",
    "rounds",
    "change",
)


def bench_screen(timing: Timing, against: Against | None = None) -> RenderableType:
    """The whole screen of `deltann bench`, for 80 columns."""
    run = timing.run
    names = " against ".join(model.name for model in run.models.values())
    samples, rows = len(run.sample_names), max(run.document["rows"].values())
    fed = f"{count(samples, 'sample')} from {run.document['inputs']['source']}, {count(rows, 'sample')} a run"
    where = f"{timing.host.get('cpu', '?')}, {timing.host.get('cores', '?')} cores"
    pins = f", pinned to {','.join(map(str, timing.options.pin))}" if timing.options.pin else ""
    heading = plain_text(f"deltann {run.document['deltann']}: time of {names}", "bold")
    parts: list[RenderableType] = [heading, plain_text(fed), plain_text(where + pins), "", *timing_parts(timing)]
    if against is not None:
        parts += ["", *_against(against)]
    parts += ["", *_end(timing)]
    return Group(*(plain_text(part) if isinstance(part, str) else part for part in parts))


def timing_parts(timing: Timing) -> list[RenderableType]:
    """The tables, the reasons, and what the machine could have told: to follow what a comparison shows."""
    letters = {cell.name: letter(number) for number, cell in enumerate(timing.cells)}
    parts: list[RenderableType] = [_verdicts(timing, letters), "", _costs(timing, letters), ""]
    parts += [plain_text(f"· {line}") for line in _reasons(timing, letters)]
    parts += [plain_text(sentence) for sentence in machine_sentences(timing)]
    return parts


def calibration_screen(calibration: Calibration, environment: str, model: str) -> RenderableType:
    """What `deltann bench --calibrate` shows."""
    host, found = calibration.host, calibration.detectable
    refused = f"a margin under {_percent(found)}" if math.isfinite(found) else "every margin"
    return Group(
        plain_text(f"{environment} against itself: {model}", "bold"),
        plain_text(f"{host.get('node', '?')}, {host.get('cpu', '?')}, {host.get('cores', '?')} cores"),
        plain_text(
            f"{count(calibration.experiments, 'experiment')} of {calibration.rounds} rounds; from round to round the "
            f"ratio of two equal times scatters by {_percent(calibration.spread)}."
        ),
        plain_text(calibration_sentence(calibration)),
        plain_text(f"Kept for this host: {refused} is refused from now on."),
    )


def _verdicts(timing: Timing, letters: dict[str, str]) -> Table:
    table = _table("", "environment", "ms/sample", "slowdown", "95% interval", "verdict")
    pairs = {pair.candidate: pair for pair in timing.pairs}
    several = len({pair.reference for pair in timing.pairs}) > 1
    for cell in timing.cells:
        pair = pairs.get(cell.name)
        ms = "-" if cell.ms is None else f"{cell.ms:.3g}"
        row: list[RenderableType] = [letters[cell.name], plain_text(cell.name), ms]
        if pair is None:
            table.add_row(*row, "reference", "", Text(_failure(cell), "red"))
            continue
        estimate = pair.estimate
        known = estimate is not None and estimate.enough is None
        slowdown = f"{estimate.slowdown:+.1%}" if estimate is not None and known else "-"
        interval = f"{estimate.low:+.1%} to {estimate.high:+.1%}" if estimate is not None and known else "-"
        beside = f" ({letters[pair.reference]})" if several else ""
        table.add_row(*row, slowdown + beside, interval, _verdict(cell, pair))
    return table


def _verdict(cell: CellTime, pair: PairTime) -> Text:
    if failure := _failure(cell):
        return Text(failure, "red")
    text = Text(pair.verdict.value, _STYLES[pair.verdict])
    if pair.verdict is TimeVerdict.IMPROVED and pair.outputs is not Verdict.AGREE:
        text.append(", but its outputs " + ("differ" if pair.outputs is Verdict.DIFFER else "are not known to agree"))
    elif pair.outputs is Verdict.DIFFER:
        text.append(", outputs differ", "red")
    return text


def _failure(cell: CellTime) -> str:
    if cell.outcome.status is Status.OK:
        return ""
    return " ".join(filter(None, (cell.outcome.status, cell.outcome.symptom)))


def _costs(timing: Timing, letters: dict[str, str]) -> Table:
    table = _table("", "load s", "first ms", "peak MiB", "artifact MiB", "rounds", "version")
    for cell in timing.cells:
        table.add_row(
            letters[cell.name],
            _number(cell.load_s),
            _number(cell.first_ms),
            _number(None if cell.peak_memory is None else cell.peak_memory / 2**20),
            _number(None if cell.artifact_bytes is None else cell.artifact_bytes / 2**20),
            str(cell.rounds),
            plain_text(cell.version or "-"),
        )
    return table


def _reasons(timing: Timing, letters: dict[str, str]) -> list[str]:
    lines = []
    for pair in timing.pairs:
        sides = f"{letters[pair.candidate]}:{letters[pair.reference]}"
        lines += [f"{sides} {pair.verdict.value}: {reason}" for reason in pair.reasons]
    for cell in timing.cells:
        if cell.outcome.status is not Status.OK:
            lines.append(f"{letters[cell.name]} {cell.name}: {cell.outcome.reason}")
        elif cell.checks.changed and not cell.invalid:
            share = f"{cell.checks.changed} of {cell.checks.runs} runs"
            lines.append(f"{letters[cell.name]}: {share} gave other bits than the comparison, inside the tolerance")
    return lines


def machine_sentences(timing: Timing) -> list[str]:
    """What these times could have told, and what this machine can."""
    sentences = []
    # Of pairs that are told apart nobody asks it.
    open_ = [p for p in timing.pairs if p.verdict in (TimeVerdict.EQUIVALENT, TimeVerdict.INCONCLUSIVE)]
    told = [e for pair in open_ or timing.pairs if (e := pair.estimate) is not None and e.enough is None and e.low > -1]
    if told:
        # Half the interval as a ratio: of a pair ten times slower, hundreds of percent are no width to speak of.
        width = max(math.expm1((math.log1p(e.high) - math.log1p(e.low)) / 2) for e in told)
        sentences.append(
            f"{count(told[0].rounds, 'round')} of fresh processes gave intervals of up to ±{_percent(width)}: a "
            f"difference smaller than that could not have been told from none."
        )
    if not timing.complete:
        sentences.append(f"Measuring was interrupted; to go on: deltann bench --out {timing.run.folder}")
    elif (needed := rounds_short(timing)) is not None:
        sentences.append(
            f"{FEWEST_ROUNDS} rounds are needed, and would take about {needed:.0f} s here: give --budget {needed:.0f}."
        )
    sentences.append(calibration_sentence(timing.calibration, timing.calibrated_by))
    return sentences


def calibration_sentence(calibration: Calibration | None, by: Mapping[str, Any] | None = None) -> str:
    """What the machine's A/A experiments say, or that there are none; `by` says when and of what they were made."""
    if calibration is None:
        return (
            "This machine is not calibrated for this, so how small a slowdown it finds, and how often it is wrong, is "
            "not known: deltann bench --calibrate tells."
        )
    found = calibration.detectable
    detects = f"finds a slowdown of {_percent(found)} in 95 of 100" if math.isfinite(found) else "finds no slowdown"
    wrong = f"{calibration.false_positives} of {calibration.experiments} comparisons with itself looked different once"
    interval = f"95% interval {calibration.low:.0%} to {calibration.high:.0%}"
    when = f" (calibrated {by.get('created')} by {by.get('environment')} on {by.get('model')})" if by else ""
    return f"This machine{when} {detects}; {wrong}, before confirmation ({interval})."


def _against(against: Against) -> list[RenderableType]:
    other = against.other
    host = f"{other.host.get('node', '?')}, {other.host.get('cpu', '?')}, {other.created}"
    table = _table("environment", "ms then", "ms now", "slowdown then", "now", "change")
    for row in against.rows:
        slowdowns = ["-" if s is None else f"{s:+.1%}" for s in (row.slowdown_then, row.slowdown_now, row.change)]
        table.add_row(plain_text(row.name), f"{row.ms_then:.3g}", f"{row.ms_now:.3g}", *slowdowns)
    ratios = (
        f"slowdowns are against {against.reference}, as each run measured them"
        if against.reference is not None
        else "the runs have other references, so that only milliseconds can be put side by side"
    )
    told = f"Beside {other.run.folder} ({host}); information, no verdict rests on it: {ratios}."
    return [plain_text(told), table if against.rows else plain_text("No environment is in both.")]


def _end(timing: Timing) -> list[RenderableType]:
    verdict = timing.verdict
    failed = sum(cell.outcome.status is not Status.OK for cell in timing.cells)
    differ = sum(pair.outputs is Verdict.DIFFER for pair in timing.pairs)
    sentence = _SENTENCES[verdict]
    sentence += f"; the outputs of {count(differ, 'environment')} differ from the reference's" if differ else ""
    sentence += f"; {failed} of {len(timing.cells)} environments failed" if failed else ""
    formula = "slowdown = time / time of the reference − 1"
    asked = f"margin {_percent(timing.options.margin)}, p{timing.options.percentile:g}, {timing.took_s:.0f} s"
    return [
        Text(verdict.value, _STYLES[verdict]).append(f": {sentence}", "default"),
        Text(f"{formula}; {asked}", "dim"),
        f"Stored in {timing.run.folder}; judged anew: deltann bench --from {timing.run.folder} --margin 2%",
    ]


def _percent(value: float) -> str:
    return f"{100 * value:.3g}%" if value < 10 else f"{100 * value:.0f}%"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _table(*columns: str) -> Table:
    return plain_table(*columns, right=_RIGHT, wrapped=("environment", "version", "verdict"))
