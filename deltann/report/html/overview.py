"""The first screen in words: the verdict as a sentence, what it rests on, who is to blame, who failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltann.comparison.attribution import Sure
from deltann.comparison.power import Power
from deltann.comparison.verdict import Verdict
from deltann.outcome import Status
from deltann.pairing import LeftOut
from deltann.report.words import MARKS, TONES, count, percent, shown

if TYPE_CHECKING:
    from deltann.judging import Pair
    from deltann.report.contents import Contents
    from deltann.result import Result
    from deltann.store import CellRecord

MOST_NAMED = 3


@dataclass(frozen=True)
class Fact:
    """One number of the first screen; `href` leads to where it comes from."""

    value: str
    label: str
    href: str
    tone: str = ""


@dataclass(frozen=True)
class Reason:
    """A reason that several pairs share; positions in `result.compared`."""

    text: str
    tone: str
    pairs: tuple[int, ...]


@dataclass(frozen=True)
class Overview:
    """`sentence` follows the verdict's word; `failed` are the cells without outputs."""

    verdict: str
    mark: str
    tone: str
    sentence: str
    facts: tuple[Fact, ...]
    reasons: tuple[Reason, ...]
    failed: tuple[CellRecord, ...]


def overview(contents: Contents) -> Overview:
    """Everything of the first screen but the matrix and the times."""
    result = contents.result
    verdict = result.verdict
    failed = tuple(record for record in result.records if record.outcome.status is not Status.OK)
    sentence = _sentence(result)
    if failed:
        sentence += f" {_first_up(count(len(failed), 'environment'))} of {len(result.records)} gave no outputs."
    if contents.timing and (slower := _slower(contents)):
        sentence += f" {slower}"
    return Overview(
        verdict.value.replace("_", " "),
        MARKS[verdict],
        TONES[verdict],
        sentence,
        tuple(_facts(contents, len(failed))),
        tuple(_reasons(result)),
        failed,
    )


def _sentence(result: Result) -> str:
    verdict = result.verdict
    judged = [p for p in result.compared if p.judged and p.judgement.verdict is not Verdict.NOT_COMPARED]
    if verdict is Verdict.NOT_COMPARED:
        return "No two environments gave outputs that could be compared."
    if verdict is Verdict.DIFFER:
        differ = sum(pair.judgement.verdict is Verdict.DIFFER for pair in judged)
        unclear = sum(pair.judgement.verdict is Verdict.INCONCLUSIVE for pair in judged)
        pairs = f"{differ} of {count(len(judged), 'pair')} differ" if len(judged) > 1 else "The pair differs"
        more = f", and of {unclear} these inputs cannot tell" if unclear else ""
        return f"{pairs} beyond what is accepted{more}.{_blame(result)}"
    if verdict is Verdict.INCONCLUSIVE:
        return f"Nothing is known to differ, but {_doubt(result, judged)}."
    worst = max(((_by_precision(pair), pair) for pair in judged), key=lambda item: item[0], default=(0.0, None))[0]
    if worst:
        return (
            "No pair differs beyond what its precision explains, but up to "
            f"{percent(worst)} of labels do differ; --max-disagreement RATE limits that."
            if not result.criteria.max_disagreement
            else f"No pair differs beyond what is accepted; up to {percent(worst)} of labels do differ."
        )
    environments = {str(cell) for pair in judged for cell in (pair.candidate, pair.reference)}
    if len(result.run.models) > 1:
        return "The two models do not differ beyond what is accepted."
    return f"No pair of {count(len(environments), 'environment')} differs beyond what is accepted."


def _doubt(result: Result, judged: list[Pair]) -> str:
    if judged:
        return "parts of the run are missing" if result.missing else "these inputs could not have told"
    if any(pair.left_out is LeftOut.SAME_CODE for pair in result.compared):
        return "only environments that ran the very same thing were compared"
    return "nothing could be compared with the reference"


def _blame(result: Result) -> str:
    sure = [blame for blame in result.blamed if blame.sure is not Sure.UNKNOWN]
    names = [shown(name, 60) for blame in sure for name in blame.names]
    if not names:
        return " Who is wrong cannot be told." if result.blamed else ""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    how = f"by {sure[0].sure.value}" if len({blame.sure for blame in sure}) == 1 else "for the reasons below"
    return f" Wrong: {', '.join(names[:MOST_NAMED])}{more}, {how}."


def _by_precision(pair: Pair) -> float:
    outputs = pair.comparison.outputs if pair.comparison else ()
    return max(
        (o.classification.rate for o in outputs if o.classification and o.classification.by_precision), default=0
    )


def _slower(contents: Contents) -> str:
    assert contents.timing is not None
    slower = [pair for pair in contents.timing.pairs if pair.symptom]
    if not slower:
        return ""
    names = ", ".join(shown(pair.candidate, 60) for pair in slower[:MOST_NAMED])
    more = f" and {len(slower) - MOST_NAMED} more" if len(slower) > MOST_NAMED else ""
    return f"Slower than the reference: {names}{more}."


def _facts(contents: Contents, failed: int) -> list[Fact]:
    result = contents.result
    cells, samples = len(result.records), len(result.run.sample_names)
    tone = "bad" if any(record.outcome.symptom for record in result.records) else "warn" if failed else ""
    facts = [
        Fact(f"{cells - failed} of {cells}", "environments gave outputs", "#environments", tone),
        Fact(f"{samples:,}", "samples" if samples > 1 else "sample", "#provenance"),
    ]
    judged = [p for p in result.compared if p.judged and p.judgement.verdict is not Verdict.NOT_COMPARED]
    if judged:
        agree = sum(pair.judgement.verdict is Verdict.AGREE for pair in judged)
        tone = "" if agree == len(judged) else TONES[result.verdict]
        facts.append(Fact(f"{agree} of {len(judged)}", "pairs agree", "#pairs", tone))
    labels = [o.classification for p in result.compared if p.comparison for o in p.comparison.outputs]
    flips = {flip.sample for found in labels if found for flip in found.flips}
    if any(labels):
        facts.append(Fact(f"{len(flips):,}", "samples get different labels", "#disputes" if flips else "#pairs"))
    for power in result.weighed.powers.values():
        if isinstance(power, Power):
            tone = "" if power.enough else "warn"
            facts.append(Fact(f"{power.noticed} of {power.copies}", "seeded faults noticed", "#evidence", tone))
    return facts


def _reasons(result: Result) -> list[Reason]:
    order = [Verdict.DIFFER, Verdict.INCONCLUSIVE, Verdict.AGREE]
    found: dict[str, tuple[Verdict, list[int]]] = {}
    for position, pair in enumerate(result.compared):
        if pair.judged and pair.judgement.verdict in order:
            for reason in pair.judgement.reasons:
                found.setdefault(reason, (pair.judgement.verdict, []))[1].append(position)
    ranked = sorted(found.items(), key=lambda item: order.index(item[1][0]))
    return [Reason(text, TONES[verdict], tuple(pairs)) for text, (verdict, pairs) in ranked]


def _first_up(text: str) -> str:
    return text[:1].upper() + text[1:]
