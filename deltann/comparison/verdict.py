"""The verdict on a pair, with its reasons; a difference always outweighs a doubt, and a doubt always an agreement."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

from deltann.comparison.classification import ClassificationError
from deltann.comparison.flips import Flip, Kind
from deltann.comparison.noise import OutputNoise, describe
from deltann.comparison.numeric import NumericError
from deltann.comparison.output import Comparison, OutputComparison
from deltann.comparison.rates import Rate, Standing, standing
from deltann.comparison.soundness import Soundness
from deltann.comparison.vacuity import ONE_SAMPLE
from deltann.errors import UsageError


class Verdict(StrEnum):
    """NOT_COMPARED: a side has no outputs, since its cell did not get that far."""

    AGREE = "AGREE"
    DIFFER = "DIFFER"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_COMPARED = "NOT_COMPARED"


@dataclass(frozen=True)
class Judgement:
    """`reasons`, each one line: first what decided the verdict, then what a reader of it should know.

    `outputs`: of a pair, the judgement of each of its outputs by itself, in the order of the comparison, those that a
    side lacks last; empty where nothing was compared. What belongs to no one output decides for each of them. An output
    that is vacuous is INCONCLUSIVE, also where others let the pair agree.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    outputs: Mapping[str, Judgement] = field(default_factory=dict)


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
NOISE_PEAK = 4.0
"""The same of the largest single difference, which grows with the samples: noise all over excuses no one element."""


@dataclass(frozen=True)
class _Number:
    """A sentence against agreement that a side's own noise may explain: where it is as large as `size` (an RMS in the
    output's unit) and its largest single value as `peak`, or changes as large a share of the labels as `labels` (None:
    it is not about labels).
    """

    text: str
    size: float
    labels: float | None = None
    peak: float = 0.0

    def explained(self, noise: OutputNoise) -> bool:
        if noise.problem is not None:
            return True
        large = self.size <= NOISE_EXPLAINS * noise.rms and self.peak <= NOISE_PEAK * noise.max_abs
        if noise.rms > 0 and large:
            return True
        changed = noise.labels_changed
        return self.labels is not None and changed > 0 and self.labels * noise.samples <= changed


@dataclass
class _Findings:
    """Sentences, by what they do to the verdict: `against` agreement, `numbers` too, `doubts`, `notes`."""

    against: list[str] = field(default_factory=list)
    numbers: list[_Number] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def judge(comparison: Comparison, limit: float | None = None, evidence: PairEvidence = NONE) -> Judgement:
    """Judge one pair.

    DIFFER, always: a structural problem, also beside the arbiter's outputs; an element that is NaN or infinite on one
    side only.

    DIFFER, unless a side differs from itself by as much: an element outside a tolerance that the user set. Without
    `limit` also: a label flip that is neither a tie nor explained by precision; where the arbiter judged both sides, a
    side that is unsound; where it did not, an element outside the default tolerance.

    With `limit` (a fraction of the samples) a classification output is judged by the rate of all its top-1
    disagreements, ties included: DIFFER where the whole interval of the rate lies above the limit, no objection where
    it lies within, and INCONCLUSIVE where the limit is inside it. Tensor outputs are judged as without.

    INCONCLUSIVE, unless it is DIFFER: elements that are NaN or the same infinity on both sides; every output vacuous;
    one sample alone; inputs that do not notice sabotage; a side that differs from itself beyond the tolerance, or by as
    much as the pair differs (then nothing of that is blamed on the pair); integers that differ where a side computes
    more coarsely than float32, which may turn the comparisons that they come from. One output that is not vacuous lets
    the pair agree, and the reasons name those that are.
    """
    outputs = comparison.outputs
    found = {output.name: _output(output, limit, evidence, comparison.sides) for output in outputs}
    vacuous = {o.name: f"these inputs could not have told: {o.vacuous}" for o in outputs if o.vacuous}
    counts = [output.classification.samples for output in outputs if output.classification]
    shared = _Findings(against=[text for text in comparison.problems if text not in comparison.lost.values()])
    if not outputs and not comparison.problems:
        shared.against.append("there are no outputs to compare")
    if evidence.weak:
        shared.doubts.append(evidence.weak)
    if 1 in (evidence.samples, *counts):
        shared.doubts.append(ONE_SAMPLE)
    if limit is not None and not counts:
        shared.notes.append("the limit on disagreement had no classification output to apply to")
    every = _Findings(against=list(comparison.problems or shared.against))
    for name, own in found.items():
        for its, all_ in ((own.against, every.against), (own.doubts, every.doubts), (own.notes, every.notes)):
            all_ += [_named(name, text) for text in its]
    telling = len(vacuous) < len(outputs)
    (every.notes if telling else every.doubts).extend(_named(name, text) for name, text in vacuous.items())
    every.doubts += shared.doubts
    every.notes += shared.notes
    alone = {name: _alone(own, [vacuous[name]] if name in vacuous else [], shared) for name, own in found.items()}
    alone |= {name: Judgement(Verdict.DIFFER, (text,)) for name, text in comparison.lost.items() if name not in alone}
    return replace(_weighed(every), outputs=alone)


def _named(output: str, text: str) -> str:
    return f"output '{output}': {text}"


def _alone(own: _Findings, vacuous: list[str], shared: _Findings) -> Judgement:
    """The judgement of one output, with what is said of all of them."""
    doubts = [*own.doubts, *vacuous, *shared.doubts]
    return _weighed(_Findings([*own.against, *shared.against], [], doubts, [*own.notes, *shared.notes]))


def _weighed(found: _Findings) -> Judgement:
    verdict = Verdict.DIFFER if found.against else Verdict.INCONCLUSIVE if found.doubts else Verdict.AGREE
    return Judgement(verdict, (*found.against, *found.doubts, *found.notes))


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
    _judge_elements(found, output, evidence, sides, by_rate)
    if output.classification is not None:
        if limit is None:
            _judge_flips(found, output, sides)
        else:
            _judge_rate(found, output, limit, evidence)
    _weigh_noise(found, output.name, evidence, sides)
    found.against += [number.text for number in found.numbers]
    return found


def _judge_elements(
    found: _Findings, output: OutputComparison, evidence: PairEvidence, sides: tuple[str, str], by_rate: bool
) -> None:
    numeric, tolerance = output.numeric, output.tolerance
    assert numeric is not None
    assert tolerance is not None
    apart, largest = numeric.rms or 0.0, float(numeric.max_abs or 0.0)
    limits = f"rtol {tolerance.rtol:g}, atol {tolerance.atol:g}, {tolerance.source}"
    outside = f"{numeric.outside} of {numeric.elements} elements outside the tolerance ({limits})"
    known = [side.get(output.name) for side in evidence.sound or ({}, {})]
    both = [side for side in known if side is not None and side.sound is not None]
    turned = next((side.precision for side in known if side is not None and side.may_turn), None)
    doubt = f"{outside}; integers may come from comparisons, which rounding to {turned} turns"
    for side, name in zip(known, sides, strict=True):
        if side is not None and side.sound is False:
            if side.unlike is not None:
                found.against.append(f"{name} gives no array as float64 does: {side.unlike}")
            # The user's own numbers, or a budget of labels, decide where they are given.
            elif tolerance.from_user or by_rate:
                found.notes.append(_unsound(name, side))
            else:
                found.numbers.append(_Number(_unsound(name, side), _size(side, numeric), peak=side.worst or 0.0))
    if not numeric.outside or (by_rate and not tolerance.from_user):
        return
    if tolerance.from_user:
        found.numbers.append(_Number(outside, apart, peak=largest))
    elif len(both) < 2:
        if turned is not None:
            found.doubts.append(doubt)
        elif all(side.sound for side in both):
            convention = ", a convention that no arbiter stands behind"
            found.numbers.append(_Number(outside.removesuffix(")") + convention + ")", apart, peak=largest))
    elif all(side.sound for side in both):
        # The arbiter saw some samples; over all of them the two may lie as far apart as both bounds together.
        most = sum(side.bound or 0.0 for side in both)
        far = numeric.outside / numeric.elements if numeric.max_ulp is None else apart
        worst = sum(math.inf if side.worst_bound is None else side.worst_bound for side in both)
        if far > most and turned is not None:
            found.doubts.append(doubt)
        elif far > most or largest > worst:
            what, can = (f"{far:.2g}", most) if far > most else (f"one element {largest:.2g}", worst)
            text = f"{outside}; {what} apart on all samples, where {_precisions(both)} can explain {can:.2g}"
            found.numbers.append(_Number(text, apart, peak=largest))
        else:
            share = numeric.outside / numeric.elements
            found.notes.append(
                f"{share:.1%} of its elements are outside the tolerance ({tolerance.source}), which is within what "
                f"{_precisions(both)} can give beside float64"
            )


def _size(side: Soundness, numeric: NumericError) -> float:
    """What noise would have to reach to explain the error of a side (of integers, which have shares for errors, the
    difference of the pair).
    """
    if side.nonfinite or side.error is None:
        return math.inf
    return side.error if numeric.max_ulp is not None else numeric.rms or 0.0


def _precisions(sound: Iterable[Soundness]) -> str:
    return " and ".join(dict.fromkeys(str(side.precision) for side in sound))


def _unsound(name: str, side: Soundness) -> str:
    if side.nonfinite:
        return f"{side.nonfinite} elements of {name} are not finite where float64 and float32 are, or the other way"
    if side.error is None or not side.bound:
        return f"{name} is not what float64 gives, and {side.precision} allows no difference"
    if side.error <= side.bound and side.worst is not None and side.worst_bound is not None:
        off = f"{name} is off float64 by {side.worst:.2g} in one element"
        return f"{off}, beyond what {side.precision} can give in any ({side.worst_bound:.2g})"
    times = side.error / side.bound
    far = f"{times:.2g} times" if times >= 1 else "beyond"
    return f"{name} is off float64 by {side.error:.2g} (RMS), {far} what {side.precision} can give ({side.bound:.2g})"


def _judge_flips(found: _Findings, output: OutputComparison, sides: tuple[str, str]) -> None:
    classes, numeric, tolerance = output.classification, output.numeric, output.tolerance
    assert classes is not None
    assert numeric is not None
    assert tolerance is not None
    beyond = [flip for flip in classes.flips if flip.kind in (Kind.FAULT, Kind.BEYOND_ROUNDING)]
    whose = {"a": f"of {sides[0]} ", "b": f"of {sides[1]} ", "a+b": "of both sides "}
    counted: list[tuple[str | None, str]]
    counted = [(wrong, f"labels {name}are wrong by float64, beyond rounding") for wrong, name in whose.items()]
    counted += [("models", "labels differ in the two models' own float64"), (None, "labels differ beyond rounding")]
    for wrong, what in counted:
        those = [flip for flip in beyond if flip.wrong == wrong]
        count = len(those)
        text = f"{count} of {classes.samples} {what}"
        # Of the user's own tolerance its elements tell; the arbiter may tell more, but does not decide.
        if count and tolerance.from_user and wrong is not None and not numeric.nonfinite_one_side:
            found.notes.append(text)
        elif count:
            found.numbers.append(_Number(text, numeric.rms or 0.0, classes.rate, _shift(those)))
    _note_excused(found, classes)


def _shift(flips: Iterable[Flip]) -> float:
    """By how much one score at least has moved from one side to the other, in the flip where that is most."""
    margins = [(flip.margin_a, flip.margin_b) for flip in flips]
    return max((math.inf if a is None or b is None else (a + b) / 2 for a, b in margins), default=0.0)


def _note_excused(found: _Findings, classes: ClassificationError) -> None:
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
        rms = output.numeric.rms if output.numeric else None
        text = f"{seen}{interval}, more than the {limit:.3%} allowed"
        found.numbers.append(_Number(text, rms or 0.0, classes.rate, _shift(classes.flips)))
    elif rate.standing is Standing.UNKNOWN:
        found.doubts.append(
            f"{seen}{interval}: {classes.samples} samples cannot tell whether {limit:.3%} is exceeded; {_more(rate)}"
        )
    elif output.name in evidence.one_label:
        found.doubts.append(f"these inputs could not have told: {evidence.one_label[output.name]}")
    _note_excused(found, classes)


def _more(rate: Rate) -> str:
    """What it would take to tell."""
    if rate.needed is not None:
        return f"it takes about {rate.needed} at this rate"
    if rate.interval[0] > rate.limit:
        return "of so many pairs judged together, one may be above it by chance"
    return "at a rate so near to the limit no number of samples tells"


def _weigh_noise(found: _Findings, name: str, evidence: PairEvidence, sides: tuple[str, str]) -> None:
    for noise, side in zip((of.get(name) for of in evidence.noise), sides, strict=True):
        told = None if noise is None else describe(noise)
        if noise is None or told is None:
            continue
        if noise.beyond:
            found.doubts.append(f"NONDETERMINISM of {side}: {told}")
        else:
            found.notes.append(f"{side} is not deterministic: {told}")
        explained = [number for number in found.numbers if number.explained(noise)]
        but = "differs from itself by as much" if noise.problem is None else "did not give the same outputs again"
        found.doubts += [f"{number.text}; but {side} {but}" for number in explained]
        found.numbers = [number for number in found.numbers if number not in explained]


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
