"""One screen for a person: what ran, who disagrees with whom, by how much, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from deltann.comparison.verdict import Verdict
from deltann.frames import cell_rows, flip_rows
from deltann.outcome import Status
from deltann.pairing import LeftOut
from deltann.report.evidence import evidence_lines, soundness_table
from deltann.report.flips import margin
from deltann.report.tables import plain_table, plain_text
from deltann.report.text import printable
from deltann.report.words import count
from deltann.report.words import letters as letters_of

if TYPE_CHECKING:
    from deltann.comparison.output import OutputComparison
    from deltann.judging import Pair
    from deltann.result import Result

MOST_PAIRS = 10
MOST_FLIPS = 5
MOST_RATES = 8
MOST_REASONS = 6
_STYLES = {
    Verdict.AGREE: "green",
    Verdict.DIFFER: "bold red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.NOT_COMPARED: "yellow",
}
_SENTENCES = {
    Verdict.AGREE: "no pair differs beyond what is accepted",
    Verdict.DIFFER: "at least one pair differs beyond what is accepted",
    Verdict.INCONCLUSIVE: "nothing is known to differ, but these inputs could not have told",
    Verdict.NOT_COMPARED: "no two cells have outputs to compare",
}
_NUMBERS = ("max|Δ|", "mean|Δ|", "RMS", "ULP", "1−cos", "top-5", "τ", "RBO")


def print_result(result: Result, console: Console) -> None:
    """Print the screen; 80 columns are enough for it."""
    console.print(screen(result, console.width))


def screen(result: Result, width: int = 80) -> RenderableType:
    """The screen, `width` columns wide, as something rich can print."""
    letters = letters_of(result)
    parts: list[RenderableType] = [*_missing(result), _heading(result), "", _cells(result, letters)]
    if any(pair.comparison for pair in result.compared):
        if not any(record.cell.role != "model" for record in result.records):
            parts += ["", *_matrix(result, letters, width)]
        parts += [*_rates(result, letters), *_pairs(result, letters)]
    parts += [*_flips(result, letters), *soundness_table(result, letters), *evidence_lines(result, letters)]
    parts += [*_remarks(result, letters), "", *_verdict(result, letters)]
    return Group(*(plain_text(part) if isinstance(part, str) else part for part in parts))


def _missing(result: Result) -> list[RenderableType]:
    """What the run lacks, before anything else is read."""
    lines: list[RenderableType] = [
        plain_text(f"INCOMPLETE: {line}", "bold red") for line in result.missing[:MOST_REASONS]
    ]
    cut = len(result.missing) - MOST_REASONS
    lines += [f"… and {count(cut, 'more part')} missing; --json has all"] if cut > 0 else []
    return [*lines, ""] if lines else []


def _heading(result: Result) -> Text:
    document = result.run.document
    inputs = document["inputs"]
    names = " against ".join(model.name for model in result.run.models.values())
    pipeline = inputs["pipeline"]["model"]
    made = f", preprocessed by '{pipeline['name']}'" if pipeline else ""
    text = plain_text(f"deltann {document['deltann']}: {names}", "bold")
    samples = f"{count(len(inputs['names']), 'sample')} from {inputs['source']}{made}"
    return text.append("\n").append(printable(samples), "not bold")


def _cells(result: Result, letters: dict[str, str]) -> Table:
    labelled = ["accuracy"] if result.accuracies else []
    table = _table("", "environment", "status", *labelled, "ms/sample*", "version")
    for row in cell_rows(result):
        accuracy = ", ".join(f"{rate:.3f}" for rate in row["accuracy"].values()) or "-"
        failed, status = row["status"] != Status.OK, " ".join(filter(None, (row["status"], row["symptom"])))
        table.add_row(
            letters[row["cell"]],
            plain_text(row["cell"]),
            plain_text(status, "red" * (failed or bool(row["symptom"]))),
            *([accuracy] if labelled else []),
            "-" if row["median_ms"] is None else f"{row['median_ms']:.3g}",
            plain_text(row["version"] or "-"),
        )
    return table


def _matrix(result: Result, letters: dict[str, str], width: int) -> list[RenderableType]:
    """Top-1 disagreement of each pair where any output is scores, elements outside the tolerance where none is."""
    outputs = [output for pair in result.compared if pair.comparison for output in pair.comparison.outputs]
    classified = any(output.classification for output in outputs)
    found: dict[tuple[str, str], tuple[str, str, str]] = {}
    for pair in result.compared:
        if pair.comparison:
            counts = _counts(pair.comparison.outputs, classified)
            entry = (str(counts[0]), f"{counts[1]:.1%}") if counts else ("≠", "")
            sides = letters[str(pair.candidate)], letters[str(pair.reference)]
            found[sides] = (*entry, _STYLES[pair.judgement.verdict])
    names = [letters[str(record.cell)] for record in result.records if record.outcome.status is Status.OK]
    both = max(len(f"{number} {rate}".strip()) for number, rate, _ in found.values())
    one = max(len(number if classified else rate) for number, rate, _ in found.values())
    fits = (len(names) + 1) * (both + 1) <= width
    shown = names if fits else names[: max(1, width // (max(one, 2) + 1) - 1)]
    table = _table("", *shown)
    for row in shown:
        texts = []
        for column in shown:
            number, rate, style = (
                found.get((row, column)) or found.get((column, row)) or ("·" * (row == column), "", "")
            )
            text = f"{number} {rate}" if fits or not rate else number if classified else rate
            texts.append(Text(text.strip() or "?", style))
        table.add_row(row, *texts)
    title = "Top-1 disagreements" if classified else "Elements outside the tolerance"
    made = "count, rate" if fits else "count" if classified else "rate"
    unlike = "; ≠: outputs of other names or shapes" if any(entry[0] == "≠" for entry in found.values()) else ""
    cut = len(names) - len(shown)
    return [f"{title} of each pair ({made}{unlike}):", table, *([f"… and {cut} more cells; see --json"] if cut else [])]


def _counts(outputs: Sequence[OutputComparison], classified: bool) -> tuple[int, float] | None:
    """The count and the rate of the output that disagrees most; None where nothing can be counted."""
    if classified:
        found = [(o.classification.disagreements, o.classification.rate) for o in outputs if o.classification]
    else:
        found = [(o.numeric.outside, o.numeric.outside / max(1, o.numeric.elements)) for o in outputs if o.numeric]
    return max(found, key=lambda item: item[1], default=None)


def _rates(result: Result, letters: dict[str, str]) -> list[RenderableType]:
    """What the rates of disagreement are worth: their intervals, of the pairs whose labels differ, worst first."""
    outputs = [(pair, output) for pair in result.compared if pair.comparison for output in pair.comparison.outputs]
    rows = [
        (pair, o.name, o.classification) for pair, o in outputs if o.classification and o.classification.disagreements
    ]
    if not rows:
        return []
    rows.sort(key=lambda row: (not row[0].judged, -row[2].rate))
    several = len({name for _, name, _ in rows}) > 1
    table = _table("pair", *(["output"] if several else []), "labels differ", "rate", "95% interval")
    for pair, name, found in rows[:MOST_RATES]:
        low, high = found.interval
        told = _pair(pair, letters) if pair.judged else f"({_pair(pair, letters)})"
        named = [plain_text(name)] if several else []
        differing = f"{found.disagreements} of {found.samples}"
        table.add_row(told, *named, differing, f"{found.rate:.1%}", f"{low:.1%} to {high:.1%}")
    cut = len(rows) - MOST_RATES
    return ["", table, *([f"… and {count(cut, 'more pair')} whose labels differ; --json has all"] if cut > 0 else [])]


def _pairs(result: Result, letters: dict[str, str]) -> list[RenderableType]:
    """The numbers, worst first, a table an output."""
    rows = [(pair, output) for pair in result.compared if pair.comparison for output in pair.comparison.outputs]
    several = len({output.name for _, output in rows}) > 1
    rows = [row for row in rows if row[1].numeric]
    order = [Verdict.DIFFER, Verdict.INCONCLUSIVE, Verdict.AGREE, Verdict.NOT_COMPARED]
    rows.sort(
        key=lambda row: (
            not row[0].judged,
            order.index(row[0].judgement.verdict),
            [-number for number in _badness(row[1])],
        )
    )
    parts: list[RenderableType] = []
    for name in dict.fromkeys(output.name for _, output in rows[:MOST_PAIRS]):
        table = _table("pair", "verdict", *_NUMBERS)
        for pair, output in rows[:MOST_PAIRS]:
            if output.name == name:
                verdict = pair.judgement.verdict
                told = _pair(pair, letters) if pair.judged else f"({_pair(pair, letters)})"
                table.add_row(told, Text(verdict.value, _STYLES[verdict]), *_numbers(output))
        parts += ["", *([f"output {name}:"] if several else []), table]
    for why in LeftOut:
        names = [_pair(pair, letters) for pair, _ in rows[:MOST_PAIRS] if pair.left_out is why]
        if names:
            parts.append(f"({', '.join(dict.fromkeys(names))}): not judged, since {why}")
    cut = len(rows) - MOST_PAIRS
    return [*parts, *([f"… and {count(cut, 'row')} more, of closer pairs; --json has all"] if cut > 0 else [])]


def _numbers(output: OutputComparison) -> Sequence[str]:
    numeric, found = output.numeric, output.classification
    if numeric is None:
        return ("-",) * len(_NUMBERS)
    angle = None if numeric.cosine is None else max(0.0, 1 - numeric.cosine)
    errors = [_number(value) for value in (numeric.max_abs, numeric.mean_abs, numeric.rms, numeric.max_ulp, angle)]
    if found is None:
        return (*errors, "-", "-", "-")
    ranks = (found.ranking.tau_mean, found.ranking.rbo_mean)
    return (*errors, str(found.top_k_disagreements), *("-" if r is None else f"{r:.4f}" for r in ranks))


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(int(value)) if abs(value) < 1e5 and value == int(value) else f"{value:.1e}"


def _badness(output: OutputComparison) -> tuple[int, float, float]:
    numeric, found = output.numeric, output.classification
    one_side, rms = (numeric.nonfinite_one_side, numeric.rms) if numeric else (0, 0.0)
    return one_side, found.rate if found else 0.0, rms or 0.0


def _flips(result: Result, letters: dict[str, str]) -> list[RenderableType]:
    rows = [(pair, row) for pair in result.compared for row in flip_rows(result, pair)]
    if not rows:
        return []
    rows.sort(key=lambda item: -margin(item[1]))
    truths = any(row["arbiter_label"] is not None for _, row in rows[:MOST_FLIPS])
    table = _table("flip", "sample", "labels", *(["float64"] if truths else []), "margins", "kind")
    for pair, row in rows[:MOST_FLIPS]:
        labels = ["NaN" if label < 0 else str(label) for label in (row["candidate_label"], row["reference_label"])]
        margins = f"{_number(row['candidate_margin'])} / {_number(row['reference_margin'])}"
        truth = ["-" if row["arbiter_label"] is None else str(row["arbiter_label"])] if truths else []
        table.add_row(_pair(pair, letters), plain_text(row["sample"]), " / ".join(labels), *truth, margins, row["kind"])
    cut = len(rows) - MOST_FLIPS
    return ["", table, *([f"… and {count(cut, 'flip')} more, of smaller margin; --json has all"] if cut > 0 else [])]


def _remarks(result: Result, letters: dict[str, str]) -> list[RenderableType]:
    lines = []
    for record in result.records:
        if record.outcome.status is not Status.OK:
            reason, stage = record.outcome.reason, record.outcome.stage
            tail = f" while {stage}" if record.outcome.symptom and stage and stage not in reason else ""
            lines.append(f"{letters[str(record.cell)]} {record.cell}: {reason}{tail}")
        elif told := _unasked(record.facts.get("actual") or {}):
            lines.append(printable(f"{letters[str(record.cell)]} {record.cell}: {told}"))
    for group in result.identical:
        names = ", ".join(letters[str(cell)] for cell in group)
        two = len({cell.role for cell in group}) > 1
        means = "here the two models are one" if two else "agreement may only mean that one code ran twice"
        lines.append(f"{names}: lowered to identical artifacts; {means}")
    inputs = result.run.document["inputs"]
    skipped = [f"skipped {name}: {reason}" for name, reason in inputs["skipped"]]
    cut = len(skipped) - MOST_REASONS
    lines += [*skipped[:MOST_REASONS], *([f"… and {cut} more were skipped; --json has all"] if cut > 0 else [])]
    lines += inputs["notes"]
    return ["", *lines] if lines else []


def _unasked(actual: Mapping[str, str]) -> str:
    """What the engine did that most would not expect: another arithmetic than float32, options not followed."""
    precision = actual.get("precision", "float32")
    parts = [
        "" if precision.startswith("float32") else f"computed in {precision}",
        f"ignored {actual['ignored']}" if actual.get("ignored") else "",
        actual.get("note", ""),
    ]
    return "; ".join(filter(None, parts))


def _verdict(result: Result, letters: dict[str, str]) -> list[RenderableType]:
    reasons: dict[str, list[Pair]] = {}
    for pair in result.compared:
        if pair.judged and pair.judgement.verdict is not Verdict.NOT_COMPARED:
            for reason in pair.judgement.reasons:
                reasons.setdefault(reason, []).append(pair)
    lines: list[RenderableType] = []
    for reason, pairs in list(reasons.items())[:MOST_REASONS]:
        more = f" and {count(len(pairs) - 1, 'more pair')}" if pairs[1:] else ""
        lines.append(f"· {_pair(pairs[0], letters)}{more}: {reason}")
    cut = len(reasons) - MOST_REASONS
    lines += [f"… and {count(cut, 'more reason')}; --json has all"] if cut > 0 else []
    verdict = result.verdict
    failed = sum(record.outcome.status is not Status.OK for record in result.records)
    sentence = _sentence(result) + (f"; {failed} of {len(result.records)} cells gave no outputs" if failed else "")
    lines.append(Text(verdict.value, _STYLES[verdict]).append(f": {sentence}", "default"))
    lines.append(Text("* median; not a verdict on speed", "dim"))
    lines.append(f"Stored in {result.run.folder}; again: deltann report {result.run.folder}")
    return lines


def _sentence(result: Result) -> str:
    judged = any(pair.judged and pair.judgement.verdict is not Verdict.NOT_COMPARED for pair in result.compared)
    if result.missing and result.verdict is Verdict.INCONCLUSIVE:
        return "nothing is known to differ, but parts of the run are missing"
    if result.verdict is Verdict.AGREE and (worst := _explained(result)):
        allowed = "" if result.criteria.max_disagreement else "; --max-disagreement RATE limits that"
        return f"no pair differs beyond what its precision explains, but up to {worst:.1%} of labels do differ{allowed}"
    if judged or result.verdict is not Verdict.INCONCLUSIVE:
        return _SENTENCES[result.verdict]
    if any(pair.left_out is LeftOut.SAME_CODE for pair in result.compared):
        return "only environments that ran the very same thing were compared"
    return "nothing could be compared with the reference"


def _explained(result: Result) -> float:
    """The highest rate of label flips that precision explains, of a judged pair."""
    outputs = [o for pair in result.compared if pair.judged and pair.comparison for o in pair.comparison.outputs]
    return max(
        (o.classification.rate for o in outputs if o.classification and o.classification.by_precision), default=0
    )


def _pair(pair: Pair, letters: dict[str, str]) -> str:
    return f"{letters[str(pair.candidate)]}:{letters[str(pair.reference)]}"


def _table(*columns: str) -> Table:
    right = (*_NUMBERS, "accuracy", "ms/sample*")
    return plain_table(*columns, right=right, wrapped=("environment", "sample", "version", "status"))
