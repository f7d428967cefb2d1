"""GitHub-flavoured Markdown: for the summary of a CI step, and in short for a comment on a pull request."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import TYPE_CHECKING

from deltann.acceptance import passes
from deltann.comparison.verdict import Verdict
from deltann.findings import Finding, command, findings, who_is_wrong
from deltann.frames import cell_rows, flip_rows
from deltann.outcome import Status
from deltann.report.flips import label_text, margin
from deltann.report.markdown_blocks import Block, code, items, page, paragraph, table
from deltann.report.matrix import Square, matrix
from deltann.report.words import UNKNOWN, count, letters, number, percent, signed, three
from deltann.timing.verdict import TimeVerdict

if TYPE_CHECKING:
    from deltann.report.contents import Contents
    from deltann.result import Result

LIMIT = 1_000_000
"""GitHub takes a summary of 1 MiB a step."""
SHORT_LIMIT = 63_999
"""GitHub takes a comment of 65,536 characters."""
MOST_TEXT = 1_000
MOST_FINDINGS = 20
MOST_FLIPS = 10_000
_SENTENCES = {
    Verdict.AGREE: "no pair differs beyond what is accepted",
    Verdict.DIFFER: "at least one pair differs beyond what is accepted",
    Verdict.INCONCLUSIVE: "nothing is known to differ, but it could not be judged whether all agree",
    Verdict.NOT_COMPARED: "no two environments have outputs to compare",
}
_TIMES = {
    TimeVerdict.REGRESSION: "at least one environment is slower than its reference",
    TimeVerdict.IMPROVED: "every environment is faster than its reference",
    TimeVerdict.EQUIVALENT: "no environment is slower than its reference",
    TimeVerdict.INCONCLUSIVE: "whether one is slower is not known",
}


def to_markdown(contents: Contents, limit: int = LIMIT, short: bool = False) -> str:
    """The page, of `limit` bytes of UTF-8 at most: what does not fit is left out by whole rows, and the page says so.

    `short`: the verdict, the matrix and the first findings, below 64,000 bytes whatever the limit.

    Raises:
        ValueError: a limit below 8,000 bytes.
    """
    told = findings(contents)
    blocks = [*_heading(contents), *_matrix(contents.result)]
    if short:
        blocks += _findings(told, MOST_FINDINGS)
        return page(blocks, _foot(contents), min(limit, SHORT_LIMIT))
    blocks += [*_times(contents), *_findings(told, len(told)), *_failed(contents.result), *_blame(contents.result)]
    blocks += [*_drift(contents), *_environments(contents.result), *_pairs(contents.result), *_flips(contents.result)]
    return page(blocks, _foot(contents), limit)


def _heading(contents: Contents) -> Iterator[Block]:
    result = contents.result
    document = result.run.document
    failed = sum(record.outcome.status is not Status.OK for record in result.records)
    said = [_SENTENCES[result.verdict], *_explained(result)]
    said += [f"{failed} of {count(len(result.records), 'environment')} gave no outputs"] if failed else []
    said += [_TIMES[contents.timing.verdict]] if contents.timing is not None else []
    if contents.drift is not None:
        written = "this run was accepted, and the baseline written" if contents.drift.updated else None
        accepts = "the baseline accepts all of it" if passes(contents) else "the baseline does not accept all of it"
        said.append(written or accepts)
    names = " against ".join(code(model.name) for model in result.run.models.values())
    samples = f"{count(len(result.run.sample_names), 'sample')} from {code(document['inputs']['source'])}"
    incomplete = [f"**INCOMPLETE**: {code(line, MOST_TEXT)}" for line in result.missing]
    verdict = f"**{result.verdict.value.replace('_', ' ')}**: {'; '.join(said)}."
    yield paragraph("heading", f"## deltann: {names}", verdict)
    yield paragraph("what is missing", *incomplete)
    yield paragraph("inputs", f"{samples}; deltann {code(document['deltann'])}.")


def _explained(result: Result) -> list[str]:
    """That labels differ all the same, where nothing but a declared precision excuses it."""
    outputs = [o for pair in result.compared if pair.judged and pair.comparison for o in pair.comparison.outputs]
    rates = [o.classification.rate for o in outputs if o.classification and o.classification.by_precision]
    agree = result.verdict is Verdict.AGREE and rates
    return [f"up to {percent(max(rates))} of labels do differ, which precision explains"] if agree else []


def _matrix(result: Result) -> Iterator[Block]:
    names, found = letters(result), matrix(result)
    if found is None:
        return
    in_rows = {name for name, _ in found.rows}
    legend = [f"{names[name]} {code(name, 60)}" for name in found.columns if name not in in_rows]
    signs = "**Bold**: they differ; ?: could not be judged; (…): compared, not judged; –: not compared."
    left_out = [f"{count(found.left_out, 'environment')} more did not fit."] if found.left_out else []
    rows = [
        (f"**{names[name]}** {code(name, 60)}", *(_square(square) for square in squares))
        for name, squares in found.rows
    ]
    columns = ("", *(names[column] for column in found.columns))
    yield table(found.title, columns, rows, *filter(None, (" · ".join(legend), signs, *left_out)))


def _square(square: Square | None) -> str:
    if square is None:
        return "·"
    text = " ".join(filter(None, (square.text, square.rate))) or square.mark
    text = f"**{text}**" if square.mark == "≠" else f"{text} ?" if square.mark == "?" else text
    return text if square.judged else f"({text})"


def _times(contents: Contents) -> Iterator[Block]:
    timing = contents.timing
    if timing is None:
        return
    pairs, rows = {pair.candidate: pair for pair in timing.pairs}, []
    for cell in timing.cells:
        pair = pairs.get(cell.name)
        ms, version = three(cell.ms), code(cell.version)
        if pair is None:
            ended = "" if cell.outcome.status is Status.OK else f"**{cell.outcome.status}**"
            rows.append((code(cell.name), ms, "reference", "", ended, version))
            continue
        known = pair.estimate if pair.estimate is not None and pair.estimate.enough is None else None
        interval = f"{signed(known.low)} to {signed(known.high)}" if known else UNKNOWN
        slowdown = signed(known.slowdown if known else None)
        verdict = f"**{pair.verdict}**" if pair.verdict is TimeVerdict.REGRESSION else str(pair.verdict)
        verdict += ", outputs differ" if pair.outputs is Verdict.DIFFER else ""
        rows.append((code(cell.name), ms, slowdown, interval, verdict, version))
    formula = "slowdown = time / time of the reference − 1"
    asked = f"margin {timing.options.margin:.3g}, percentile {timing.options.percentile:g} of the runs"
    columns = ("environment", "ms/sample", "slowdown", "95% interval", "verdict", "version")
    yield table("Times", columns, rows, f"{formula}; {asked}.")


def _findings(found: tuple[Finding, ...], most: int) -> Iterator[Block]:
    lines = [f"**{finding.level}** {code(finding.title)}{_under(finding.text)}" for finding in found[:most]]
    more = [f"… and {count(len(found) - most, 'more finding')}"] if len(found) > most else []
    yield items("Findings", [*lines, *more])


def _under(text: str) -> str:
    """Further lines of a list's item, each a paragraph of it."""
    return "".join(f"<br>{code(line, MOST_TEXT)}" for line in text.splitlines() if line.strip())


def _failed(result: Result) -> Iterator[Block]:
    rows = [
        (code(row["cell"]), str(row["status"]), str(row["stage"] or UNKNOWN), str(row["symptom"] or UNKNOWN),
         code(row["reason"], MOST_TEXT))
        for row in cell_rows(result)
        if row["status"] != Status.OK
    ]  # fmt: skip
    yield table("Without outputs", ("environment", "status", "stage", "symptom", "reason"), rows)


def _blame(result: Result) -> Iterator[Block]:
    yield items("Who is wrong", [code(who_is_wrong(blame), MOST_TEXT) for blame in result.blamed])


def _drift(contents: Contents) -> Iterator[Block]:
    drift = contents.drift
    if drift is None:
        return
    rows = []
    for row in drift.rows:
        changes = row.changes or (("", "", str(row.entry.value)),)
        for position, (what, old, new) in enumerate(changes):
            head = (f"{row.standing}", code(row.entry.key.title)) if not position else ("", "")
            rows.append((*head, what and code(what), code(old), code(new)))
    obsolete = [("OBSOLETE", code(entry.key.title), "", code(str(entry.value)), UNKNOWN) for entry in drift.obsolete]
    columns = ("standing", "of", "what", "accepted", "now")
    yield table("Beside the baseline", columns, [*rows, *obsolete], f"The baseline: {code(drift.path)}.")


def _environments(result: Result) -> Iterator[Block]:
    names, labelled = letters(result), bool(result.accuracies)
    rows = []
    for row in cell_rows(result):
        accuracy = [", ".join(f"{rate:.3f}" for rate in row["accuracy"].values()) or UNKNOWN] * labelled
        told = code("; ".join(f"{what} {value}" for what, value in row["actual"].items()))
        status = " ".join(filter(None, (row["status"], row["symptom"])))
        rows.append((names[row["cell"]], code(row["cell"]), status, *accuracy, code(row["version"] or ""), told))
    columns = ("", "environment", "status", *(["accuracy"] * labelled), "version", "what the engine says it did")
    yield table("Environments", columns, rows)


def _pairs(result: Result) -> Iterator[Block]:
    """The numbers of every pair and output; those that differ first, then by how much."""
    order = (Verdict.DIFFER, Verdict.INCONCLUSIVE, Verdict.AGREE, Verdict.NOT_COMPARED)
    found = [
        (pair, output)
        for pair in sorted(result.compared, key=lambda pair: (not pair.judged, order.index(pair.judgement.verdict)))
        for output in (pair.comparison.outputs if pair.comparison else ())
        if output.numeric is not None
    ]
    rows = []
    for pair, output in found:
        numeric, classes = output.numeric, output.classification
        assert numeric is not None
        labels = (UNKNOWN, UNKNOWN)
        if classes is not None:
            low, high = classes.interval
            rate = f"{percent(classes.rate)} ({percent(low)} to {percent(high)})"
            labels = (f"{classes.disagreements} of {classes.samples}", rate)
        sides = [code(str(side), 100) for side in (pair.candidate, pair.reference)]
        verdict = pair.judgement.verdict.value if pair.judged else f"({pair.judgement.verdict.value})"
        errors = [number(value) for value in (numeric.max_abs, numeric.mean_abs, numeric.rms)]
        rows.append((*sides, code(output.name, 100), verdict, *labels, *errors))
    columns = ("candidate", "reference", "output", "verdict", "labels differ", "rate (95% interval)",
               "max abs Δ", "mean abs Δ", "RMS")  # fmt: skip
    yield table("Pairs", columns, rows, "A verdict in brackets: compared, not judged.")


def _flips(result: Result) -> Iterator[Block]:
    """The label flips of the largest margin, as many as may fit on any page."""
    total = sum(output.classification.disagreements for pair in result.compared if pair.comparison
                for output in pair.comparison.outputs if output.classification)  # fmt: skip
    flips = ((pair, row) for pair in result.compared for row in flip_rows(result, pair))
    found = heapq.nlargest(MOST_FLIPS, flips, key=lambda item: margin(item[1]))
    rows = []
    for pair, row in found:
        labels = [_label(result, row[key], row["output"]) for key in _LABELS]
        margins = f"{number(row['candidate_margin'])} / {number(row['reference_margin'])}"
        sides = [code(str(side), 100) for side in (pair.candidate, pair.reference)]
        rows.append((code(row["sample"]), *sides, code(row["output"], 100), *labels, margins, str(row["kind"])))
    columns = ("sample", "candidate", "reference", "output", "candidate's", "reference's", "float64's",
               "margins", "kind")  # fmt: skip
    first = f"the first {MOST_FLIPS:,} of {total:,}" if total > MOST_FLIPS else f"{count(total, 'flip')} in all"
    yield table("Label flips", columns, rows, f"The largest margin first; {first}.")


_LABELS = ("candidate_label", "reference_label", "arbiter_label")


def _label(result: Result, label: int | None, output: str) -> str:
    if label is None:
        return UNKNOWN
    return label_text(result, label, output, lambda name: code(name, 60))


def _foot(contents: Contents) -> str:
    more = command(contents)
    told = code(more, MOST_TEXT) if len(more) <= MOST_TEXT else code("deltann report RUN --html report.html")
    return f"More: {told}"
