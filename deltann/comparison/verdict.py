"""The verdict on a pair, with its reasons; a difference always outweighs a doubt, and a doubt always an agreement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from deltann.comparison.output import Comparison, OutputComparison
from deltann.errors import UsageError
from deltann.tasks import Task


class Verdict(StrEnum):
    """NOT_COMPARED: a side has no outputs, since its cell did not get that far."""

    AGREE = "AGREE"
    DIFFER = "DIFFER"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_COMPARED = "NOT_COMPARED"


@dataclass(frozen=True)
class Judgement:
    """`reasons`, each one line: first what decided the verdict, then what a reader of it should know."""

    verdict: Verdict
    reasons: tuple[str, ...]


def judge(comparison: Comparison, max_disagreement: float | None = None) -> Judgement:
    """Judge one pair.

    DIFFER: a structural problem; an element that is NaN or infinite on one side only; and, without
    `max_disagreement`, a label flip beyond rounding or an element outside the tolerance. With `max_disagreement` (a
    fraction of the samples) a classification output is judged by the rate of all its top-1 disagreements, ties
    included, and element by element only where the user set its tolerance; tensor outputs as without.

    INCONCLUSIVE, unless it is DIFFER: elements that are NaN or the same infinity on both sides; or every output is
    vacuous. One output that is not lets the pair agree, and the reasons name those that are.
    """
    outputs = comparison.outputs
    against = list(comparison.problems)
    doubts: list[str] = []
    notes: list[str] = []
    for output in outputs:
        against += [f"output '{output.name}': {text}" for text in _differences(output, max_disagreement)]
        if output.numeric and output.numeric.nonfinite_both:
            count = output.numeric.nonfinite_both
            doubts.append(
                f"output '{output.name}': {count} elements not finite on both sides; NaN equals NaN proves nothing"
            )
        if output.classification and output.classification.ties:
            notes.append(f"output '{output.name}': {output.classification.ties} label flips are ties within rounding")
        if output.vacuous is not None:
            notes.append(f"output '{output.name}': these inputs could not have told: {output.vacuous}")
    if not outputs and not against:
        against.append("there are no outputs to compare")
    if outputs and all(output.vacuous is not None for output in outputs):
        doubts += [note for note in notes if "could not have told" in note]
    if max_disagreement is not None and not any(output.classification for output in outputs):
        notes.append("the limit on disagreement had no classification output to apply to")
    notes = [note for note in notes if note not in doubts]
    verdict = Verdict.DIFFER if against else Verdict.INCONCLUSIVE if doubts else Verdict.AGREE
    return Judgement(verdict, (*against, *doubts, *notes))


def _differences(output: OutputComparison, max_disagreement: float | None) -> Iterable[str]:
    yield from output.problems
    numeric, tolerance, classes = output.numeric, output.tolerance, output.classification
    if numeric is None or tolerance is None:
        if not output.problems:
            yield "nothing of it was compared"
        return
    if numeric.nonfinite_one_side:
        yield f"{numeric.nonfinite_one_side} elements are NaN or infinite on one side only"
    by_rate = max_disagreement is not None and output.task is Task.CLASSIFICATION and classes is not None
    if numeric.outside and (tolerance.from_user or not by_rate):
        limits = f"rtol {tolerance.rtol:g}, atol {tolerance.atol:g}, {tolerance.source}"
        yield f"{numeric.outside} of {numeric.elements} elements outside the tolerance ({limits})"
    if classes is None:
        return
    if max_disagreement is None:
        if classes.beyond_rounding:
            yield f"{classes.beyond_rounding} of {classes.samples} labels differ beyond rounding"
    elif classes.rate > max_disagreement:
        share = f"{classes.disagreements} of {classes.samples}"
        yield f"{share} labels differ ({classes.rate:.3%}), more than the {max_disagreement:.3%} allowed"


def overall(judgements: Iterable[Judgement]) -> Verdict:
    """The verdict on many pairs: DIFFER if any does, AGREE only if there are pairs and all agree, else INCONCLUSIVE."""
    verdicts = {judgement.verdict for judgement in judgements}
    if Verdict.DIFFER in verdicts:
        return Verdict.DIFFER
    return Verdict.AGREE if verdicts == {Verdict.AGREE} else Verdict.INCONCLUSIVE


def parse_rate(text: str) -> float:
    """Read a fraction of the samples, as `0.005` or `0.5%`.

    Raises:
        UsageError: not a number, or outside 0..1.
    """
    number, percent = (text[:-1], True) if text.endswith("%") else (text, False)
    try:
        rate = float(Decimal(number) / (100 if percent else 1))  # in floats 0.7 / 100 < 7 / 1000
    except ArithmeticError:
        rate = -1.0
    if not 0 <= rate <= 1:
        raise UsageError(
            f"'{text}' is no rate: give a fraction from 0 to 1, such as 0.005, or a percentage, such as 0.5%"
        )
    return rate
