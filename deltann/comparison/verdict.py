"""The verdict on a pair, with its reasons; a difference always outweighs a doubt, and a doubt always an agreement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from deltann.comparison.classification import ClassificationError
from deltann.comparison.flips import Kind
from deltann.comparison.noise import OutputNoise, describe
from deltann.comparison.output import Comparison, OutputComparison
from deltann.comparison.rates import Standing, standing
from deltann.comparison.soundness import Soundness
from deltann.errors import UsageError


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


@dataclass(frozen=True)
class PairEvidence:
    """What is known beside the two sides' outputs; each mapping goes by the comparison's names of outputs.

    `sound`: what the arbiter says of the candidate's outputs and of the reference's; None where there is no arbiter, or
    where the two are of different models, of which each may be sound. `noise`: how each differs from itself.
    `weak`: why these inputs could not have told, whatever the outputs are. `one_label`: of an output, why a rate of
    labels says nothing. `rate_p`: of an output, `rates.exceeds_p` adjusted for the pairs judged together.
    """

    sound: tuple[Mapping[str, Soundness], Mapping[str, Soundness]] | None = None
    noise: tuple[Mapping[str, OutputNoise], Mapping[str, OutputNoise]] = ({}, {})
    weak: str | None = None
    one_label: Mapping[str, str] = field(default_factory=dict)
    rate_p: Mapping[str, float] = field(default_factory=dict)
    samples: int | None = None


NONE = PairEvidence()
NOISE_EXPLAINS = 2.0
"""A pair's difference up to so many times what a side differs from itself by (both in RMS) is that side's noise.

Each of the two may be off by its noise, and the repeats are few samples.
"""


@dataclass
class _Findings:
    """Sentences, by what they do to the verdict: `against` agreement, `doubts`, `notes`. `numbers`: against, too, but
    of a kind that a side's own noise explains.
    """

    against: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def judge(comparison: Comparison, limit: float | None = None, evidence: PairEvidence = NONE) -> Judgement:
    """Judge one pair.

    DIFFER, always: a structural problem; an element that is NaN or infinite on one side only; an element outside a
    tolerance that the user set.

    Without `limit` also: a label flip that is neither a tie nor explained by precision; where the arbiter judged both
    sides, a side that is unsound; where it did not, an element outside the default tolerance.

    With `limit` (a fraction of the samples) a classification output is judged by the rate of all its top-1
    disagreements, ties included: DIFFER where the whole interval of the rate lies above the limit, no objection where
    it lies within, and INCONCLUSIVE where the limit is inside it. Tensor outputs are judged as without.

    INCONCLUSIVE, unless it is DIFFER: elements that are NaN or the same infinity on both sides; every output vacuous;
    one sample alone; inputs that do not notice sabotage; a side that differs from itself beyond the tolerance, or by as
    much as the pair differs (then nothing of that is blamed on the pair). One output that is not vacuous lets the pair
    agree, and the reasons name those that are.
    """
    every = _Findings()
    every.against += comparison.problems
    for output in comparison.outputs:
        found = _output(output, limit, evidence, comparison.sides)
        for own, all_ in ((found.against, every.against), (found.doubts, every.doubts), (found.notes, every.notes)):
            all_ += [f"output '{output.name}': {text}" for text in own]
    outputs = comparison.outputs
    vacuous = [f"output '{o.name}': these inputs could not have told: {o.vacuous}" for o in outputs if o.vacuous]
    if not outputs and not every.against:
        every.against.append("there are no outputs to compare")
    if outputs and len(vacuous) == len(outputs):
        every.doubts += vacuous
    else:
        every.notes += vacuous
    if evidence.weak:
        every.doubts.append(evidence.weak)
    counts = [output.classification.samples for output in outputs if output.classification]
    if 1 in (evidence.samples, *counts):
        every.doubts.append("one sample alone proves nothing: give more")
    if limit is not None and not counts:
        every.notes.append("the limit on disagreement had no classification output to apply to")
    verdict = Verdict.DIFFER if every.against else Verdict.INCONCLUSIVE if every.doubts else Verdict.AGREE
    return Judgement(verdict, (*every.against, *every.doubts, *every.notes))


def _output(output: OutputComparison, limit: float | None, evidence: PairEvidence, sides: tuple[str, str]) -> _Findings:
    found = _Findings(against=list(output.problems))
    numeric, tolerance = output.numeric, output.tolerance
    if numeric is None or tolerance is None:
        if not output.problems:
            found.against.append("nothing of it was compared")
        return found
    if numeric.nonfinite_one_side:
        found.against.append(f"{numeric.nonfinite_one_side} elements are NaN or infinite on one side only")
    if numeric.nonfinite_both:
        found.doubts.append(
            f"{numeric.nonfinite_both} elements not finite on both sides; NaN equals NaN proves nothing"
        )
    by_rate = limit is not None and output.classification is not None
    sound = _soundness(output.name, evidence)
    _judge_elements(found, output, sound, sides, by_rate)
    if output.classification is not None:
        if limit is None:
            _judge_flips(found, output.classification)
        else:
            _judge_rate(found, output, limit, evidence)
    _weigh_noise(found, output.name, numeric.rms, evidence, sides)
    found.against += found.numbers
    return found


def _soundness(name: str, evidence: PairEvidence) -> tuple[Soundness, Soundness] | None:
    """What the arbiter says of both sides, where it could judge both."""
    if evidence.sound is None:
        return None
    a, b = (side.get(name) for side in evidence.sound)
    return None if a is None or b is None or a.sound is None or b.sound is None else (a, b)


def _judge_elements(
    found: _Findings,
    output: OutputComparison,
    sound: tuple[Soundness, Soundness] | None,
    sides: tuple[str, str],
    by_rate: bool,
) -> None:
    numeric, tolerance = output.numeric, output.tolerance
    assert numeric is not None
    assert tolerance is not None
    limits = f"rtol {tolerance.rtol:g}, atol {tolerance.atol:g}, {tolerance.source}"
    outside = f"{numeric.outside} of {numeric.elements} elements outside the tolerance ({limits})"
    if tolerance.from_user or sound is None:
        if numeric.outside and (tolerance.from_user or not by_rate):
            found.numbers.append(outside)
    elif numeric.outside and all(side.sound for side in sound):
        found.notes.append(f"{outside}, which is within what {_precisions(sound)} can give beside float64")
    for side, name in zip(sound or (), sides, strict=False):
        if not side.sound:
            # The user's own numbers, or a budget of labels, decide where they are given.
            (found.notes if tolerance.from_user or by_rate else found.numbers).append(_unsound(name, side))


def _precisions(sound: tuple[Soundness, Soundness]) -> str:
    return " and ".join(dict.fromkeys(str(side.precision) for side in sound))


def _unsound(name: str, side: Soundness) -> str:
    if side.nonfinite:
        return f"{side.nonfinite} elements of {name} are not finite where float64 and float32 are, or the other way"
    if side.error is None or not side.bound:
        return f"{name} is not what float64 gives, and {side.precision} allows no difference"
    times = side.error / side.bound
    far = f"{times:.2g} times" if times >= 1 else "beyond"
    return f"{name} is off float64 by {side.error:.2g} (RMS), {far} what {side.precision} can give ({side.bound:.2g})"


def _judge_flips(found: _Findings, classes: ClassificationError) -> None:
    faults = sum(flip.kind is Kind.FAULT for flip in classes.flips)
    unknown = classes.beyond_rounding - faults
    if faults:
        found.numbers.append(f"{faults} of {classes.samples} labels are wrong by float64, beyond rounding")
    if unknown:
        found.numbers.append(f"{unknown} of {classes.samples} labels differ beyond rounding")
    if classes.ties:
        found.notes.append(f"{classes.ties} label flips are ties within rounding")
    if classes.by_precision:
        found.notes.append(f"{classes.by_precision} label flips are explained by the precision computed in")


def _judge_rate(found: _Findings, output: OutputComparison, limit: float, evidence: PairEvidence) -> None:
    classes = output.classification
    assert classes is not None
    rate = standing(classes.disagreements, classes.samples, limit, evidence.rate_p.get(output.name))
    seen = f"{classes.disagreements} of {classes.samples} labels differ ({classes.rate:.3%}"
    interval = f"; 95% interval {rate.interval[0]:.2%} to {rate.interval[1]:.2%})"
    if rate.standing is Standing.ABOVE:
        found.numbers.append(f"{seen}{interval}, more than the {limit:.3%} allowed")
    elif rate.standing is Standing.UNKNOWN:
        found.doubts.append(f"{seen}{interval}: {classes.samples} samples cannot tell whether {limit:.3%} is exceeded")
        if rate.needed is not None:
            found.doubts[-1] += f"; it takes about {rate.needed} at this rate"
    elif output.name in evidence.one_label:
        found.doubts.append(f"these inputs could not have told: {evidence.one_label[output.name]}")
    if classes.ties:
        found.notes.append(f"{classes.ties} label flips are ties within rounding")
    if classes.by_precision:
        found.notes.append(f"{classes.by_precision} label flips are explained by the precision computed in")


def _weigh_noise(
    found: _Findings, name: str, rms: float | None, evidence: PairEvidence, sides: tuple[str, str]
) -> None:
    for noise, side in zip((of.get(name) for of in evidence.noise), sides, strict=True):
        told = None if noise is None else describe(noise)
        if noise is None or told is None:
            continue
        if noise.problem is not None or noise.outside or noise.labels_changed:
            found.doubts.append(f"NONDETERMINISM of {side}: {told}")
        else:
            found.notes.append(f"{side} is not deterministic: {told}")
        if found.numbers and (noise.problem is not None or (rms or 0.0) <= NOISE_EXPLAINS * noise.rms):
            found.doubts += [f"{text}; but {side} differs from itself by as much" for text in found.numbers]
            found.numbers = []


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
