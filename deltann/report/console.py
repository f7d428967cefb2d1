"""One screen for a person: what ran, who disagrees with whom, by how much, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from deltann.comparison.verdict import Verdict
from deltann.frames import cell_rows, flip_rows
from deltann.outcome import Status

if TYPE_CHECKING:
    from deltann.comparison.output import OutputComparison
    from deltann.result import Pair, Result

MOST_PAIRS = 10
MOST_FLIPS = 5
MOST_REASONS = 6
_STYLES = {
    Verdict.AGREE: "green",
    Verdict.DIFFER: "bold red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.NOT_COMPARED: "yellow",
}
_SENTENCES = {
    Verdict.AGREE: "no pair differs beyond its tolerance",
    Verdict.DIFFER: "at least one pair differs beyond what is accepted",
    Verdict.INCONCLUSIVE: "these inputs could not have told",
    Verdict.NOT_COMPARED: "no two cells have outputs to compare",
}


def print_result(result: Result, console: Console | None = None) -> None:
    """Print the screen. Names of files and samples come from strangers: they are never read as markup."""
    (console or Console(highlight=False)).print(screen(result))


def screen(result: Result) -> RenderableType:
    """The screen as something rich can print."""
    letters = {str(record.cell): _letter(number) for number, record in enumerate(result.records)}
    parts: list[RenderableType] = [_heading(result), "", _cells(result, letters)]
    if any(pair.comparison for pair in result.compared):
        if not any(record.cell.role != "model" for record in result.records):
            parts += ["", *_matrix(result, letters)]
        parts += ["", *_pairs(result, letters)]
    parts += [*_flips(result, letters), *_remarks(result, letters), "", *_verdict(result)]
    return Group(*(Text(part, overflow="fold") if isinstance(part, str) else part for part in parts))


def _heading(result: Result) -> Text:
    document = result.run.document
    inputs = document["inputs"]
    names = " against ".join(model.name for model in result.run.models.values())
    pipeline = inputs["pipeline"]["model"]
    made = f", preprocessed by '{pipeline['name']}'" if pipeline else ""
    text = Text(f"deltann {document['deltann']}: {names}", style="bold", overflow="fold")
    return text.append(f"\n{len(inputs['names'])} samples from {inputs['source']}{made}", style="not bold")


def _cells(result: Result, letters: dict[str, str]) -> Table:
    table = _table("", "environment", "status", "accuracy", "ms/sample*", "version")
    for row in cell_rows(result):
        accuracy = ", ".join(f"{rate:.3f}" for rate in row["accuracy"].values()) or "-"
        state = row["status"] if row["status"] == Status.OK else " ".join(filter(None, (row["status"], row["symptom"])))
        table.add_row(
            letters[row["cell"]],
            Text(row["cell"], overflow="fold"),
            Text(state, style="" if row["status"] == Status.OK else "red"),
            accuracy,
            "-" if row["median_ms"] is None else f"{row['median_ms']:.3g}",
            row["version"] or "-",
        )
    return table


def _matrix(result: Result, letters: dict[str, str]) -> list[RenderableType]:
    """Top-1 disagreement of each pair where outputs are scores, elements outside the tolerance where they are not."""
    found = {}
    classified = False
    for pair in result.compared:
        outputs = pair.comparison.outputs if pair.comparison else ()
        classes = [output.classification for output in outputs if output.classification]
        numerics = [output.numeric for output in outputs if output.numeric]
        text = Text("?")
        if classes:
            classified = True
            worst = max(classes, key=lambda item: item.rate)
            text = Text(f"{worst.disagreements} {worst.rate:.1%}", style=_STYLES[pair.judgement.verdict])
        elif numerics:
            outside = sum(item.outside for item in numerics)
            share = outside / max(1, sum(item.elements for item in numerics))
            text = Text(f"{outside} {share:.1%}", style=_STYLES[pair.judgement.verdict])
        found[letters[str(pair.candidate)], letters[str(pair.reference)]] = text
    ok = [letters[str(record.cell)] for record in result.records if record.outcome.status is Status.OK]
    table = _table("", *ok)
    for row in ok:
        cells = [found.get((row, column)) or found.get((column, row)) or Text("·") for column in ok]
        table.add_row(row, *cells)
    title = "Top-1 disagreements" if classified else "Elements outside the tolerance"
    return [f"{title} of each pair (count, rate):", table]


def _pairs(result: Result, letters: dict[str, str]) -> list[RenderableType]:
    rows = [(pair, output) for pair in result.compared if pair.comparison for output in pair.comparison.outputs]
    order = [Verdict.DIFFER, Verdict.INCONCLUSIVE, Verdict.AGREE, Verdict.NOT_COMPARED]
    rows.sort(key=lambda row: (order.index(row[0].judgement.verdict), -_badness(row[1])))
    several = len({output.name for _, output in rows}) > 1
    table = _table("pair", *(["output"] if several else []), "verdict", "max|Δ|", "mean|Δ|", "RMS", "ULP", "1−cos",
                   "top-5", "τ", "RBO")  # fmt: skip
    for pair, output in rows[:MOST_PAIRS]:
        verdict = pair.judgement.verdict
        name = f"{letters[str(pair.candidate)]}:{letters[str(pair.reference)]}"
        table.add_row(
            name if pair.judged else f"({name})",
            *([Text(output.name, overflow="ellipsis")] if several else []),
            Text(verdict.value, style=_STYLES[verdict]),
            *_numbers(output),
        )
    cut = len(rows) - MOST_PAIRS
    return [table, *([f"… and {cut} more rows, closer ones; --json has all"] if cut > 0 else [])]


def _numbers(output: OutputComparison) -> Sequence[str]:
    numeric, found = output.numeric, output.classification
    if numeric is None:
        return ("-",) * 8
    errors = [_number(value) for value in (numeric.max_abs, numeric.mean_abs, numeric.rms)]
    ulp = "-" if numeric.max_ulp is None else _number(numeric.max_ulp)
    angle = "-" if numeric.cosine is None else _number(max(0.0, 1 - numeric.cosine))
    if found is None:
        return (*errors, ulp, angle, "-", "-", "-")
    ranks = (found.ranking.tau_mean, found.ranking.rbo_mean)
    return (*errors, ulp, angle, str(found.top_k_disagreements), *("-" if r is None else f"{r:.4f}" for r in ranks))


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(int(value)) if value == int(value) and abs(value) < 1e5 else f"{value:.1e}"


def _badness(output: OutputComparison) -> float:
    rate = output.classification.rate if output.classification else 0.0
    rms = output.numeric.rms if output.numeric and output.numeric.rms else 0.0
    return rate * 1e30 + rms


def _flips(result: Result, letters: dict[str, str]) -> list[RenderableType]:
    rows = [(pair, row) for pair in result.compared for row in flip_rows(result, pair)]
    if not rows:
        return []
    rows.sort(key=lambda item: -max(item[1]["candidate_margin"] or 1e300, item[1]["reference_margin"] or 1e300))
    table = _table("flip", "sample", "labels", "margins", "kind")
    for pair, row in rows[:MOST_FLIPS]:
        table.add_row(
            f"{letters[str(pair.candidate)]}:{letters[str(pair.reference)]}",
            Text(row["sample"], overflow="ellipsis"),
            f"{row['candidate_label']} / {row['reference_label']}",
            f"{_number(row['candidate_margin'])} / {_number(row['reference_margin'])}",
            row["kind"],
        )
    cut = len(rows) - MOST_FLIPS
    return ["", table, *([f"… and {cut} more flips of smaller margin"] if cut > 0 else [])]


def _remarks(result: Result, letters: dict[str, str]) -> list[RenderableType]:
    lines = []
    for record in result.records:
        if record.outcome.status is not Status.OK:
            stage = f" while {record.outcome.stage}" if record.outcome.stage else ""
            tail = "" if stage.strip() and stage.strip() in record.outcome.reason else stage
            lines.append(f"{letters[str(record.cell)]} {record.cell}: {record.outcome.reason}{tail}")
    for group in result.identical:
        names = ", ".join(str(cell) for cell in group)
        lines.append(
            f"identical artifacts: {names}: they run the same lowered model, so their agreement proves nothing"
        )
    skipped = result.run.document["inputs"]["skipped"]
    lines += [f"skipped {name}: {reason}" for name, reason in skipped]
    lines += result.run.document["inputs"]["notes"]
    return ["", *lines] if lines else []


def _verdict(result: Result) -> list[RenderableType]:
    lines: list[RenderableType] = []
    seen: dict[str, list[Pair]] = {}
    for pair in result.compared:
        if pair.judged and pair.judgement.verdict is not Verdict.NOT_COMPARED:
            for reason in pair.judgement.reasons:
                seen.setdefault(reason, []).append(pair)
    for reason, pairs in list(seen.items())[:MOST_REASONS]:
        among = f"{pairs[0].candidate} and {pairs[0].reference}" + (
            f" and {len(pairs) - 1} more pairs" if pairs[1:] else ""
        )
        lines.append(Text(f"· {reason} ({among})", overflow="fold"))
    verdict = result.verdict
    failed = sum(record.outcome.status is not Status.OK for record in result.records)
    sentence = _SENTENCES[verdict] + (f"; {failed} of {len(result.records)} cells have no outputs" if failed else "")
    lines.append(Text(verdict.value, style=_STYLES[verdict]).append(f": {sentence}", style="default"))
    lines.append(Text("* median; not a verdict on speed", style="dim"))
    lines.append(Text(f"Stored in {result.run.folder}; again: deltann report {result.run.folder}", overflow="fold"))
    return lines


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", collapse_padding=True)
    numbers = {"accuracy", "ms/sample*", "max|Δ|", "mean|Δ|", "RMS", "ULP", "1−cos", "top-5", "τ", "RBO"}
    for column in columns:
        options: dict[str, Any] = {"justify": "right"} if column in numbers else {}
        table.add_column(column, no_wrap=column not in ("environment", "sample", "output"), **options)
    return table


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else f"{_letter(number // 26 - 1)}{_letter(number % 26)}"
