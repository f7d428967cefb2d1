"""The verdict on every pair of a run, by its numbers and by the evidence; and who is blamed for the differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from deltann.comparison.attribution import Blame, Suspect, attribute
from deltann.comparison.evidence import Arbitration
from deltann.comparison.flips import Flip, Kind
from deltann.comparison.noise import OutputNoise
from deltann.comparison.output import Comparison
from deltann.comparison.power import Power
from deltann.comparison.precision import coarser
from deltann.comparison.rates import exceeds_p
from deltann.comparison.significance import benjamini_hochberg, holm, mcnemar
from deltann.comparison.soundness import Soundness
from deltann.comparison.triage import Scores, Side, triaged
from deltann.comparison.vacuity import one_label
from deltann.comparison.verdict import Judgement, PairEvidence, Verdict, judge
from deltann.environment import Environment
from deltann.evidence.weigh import Weighed
from deltann.native import NATIVE
from deltann.pairing import Compared, Comparisons, LeftOut
from deltann.store import Cell, Run


@dataclass(frozen=True)
class McNemar:
    """Samples that only the candidate, and only the reference, gets right; and McNemar's exact p-value for that.

    `adjusted`: after Benjamini and Hochberg, over all pairs and outputs of the run.
    """

    candidate_only: int
    reference_only: int
    p_value: float
    adjusted: float


@dataclass(frozen=True)
class Pair:
    """Two cells and what came of comparing them; `comparison` is None where one of them has no outputs.

    Differences are candidate − reference. `left_out`: why the verdict of the run does not rest on this pair.
    `mcnemar`: by output, where labels are known, whether one of the two is the better classifier.
    """

    candidate: Cell
    reference: Cell
    comparison: Comparison | None
    judgement: Judgement
    left_out: LeftOut | None = None
    mcnemar: Mapping[str, McNemar] = field(default_factory=dict)

    @property
    def judged(self) -> bool:
        """Whether the verdict of the run rests on this pair."""
        return self.left_out is None


def judge_pairs(run: Run, compared: Comparisons, weighed: Weighed, limit: float | None) -> tuple[Pair, ...]:
    """Judge each pair; what depends on how many there are (Holm, Benjamini–Hochberg) over all of them."""
    scores = {
        role: {name: Scores.of(arbiter, name) for name in arbiter.float64}
        for role, arbiter in weighed.arbiters.items()
        if isinstance(arbiter, Arbitration)
    }
    sides = {cell: _sides(found, scores[cell.role]) for cell, found in weighed.sound.items()}
    pairs = [(pair, _whole(pair, weighed, _triaged(run, pair, sides))) for pair in compared.pairs]
    rate_ps = _rate_ps(pairs, limit)
    tests = _mcnemar(run, compared)
    judged = []
    for number, (pair, comparison) in enumerate(pairs):
        if comparison is None:
            verdict = Verdict.NOT_COMPARED if pair.missing else Verdict.INCONCLUSIVE
            judgement = Judgement(verdict, (pair.why,))
            judged.append(Pair(pair.candidate, pair.reference, None, judgement, pair.left_out))
            continue
        judgement = judge(comparison, limit, _evidence(run, pair, compared, weighed, rate_ps.get(number, {})))
        left_out = pair.left_out
        if left_out is None and pair.ran_the_same and judgement.verdict is Verdict.AGREE:
            left_out = LeftOut.SAME_CODE
        judged.append(Pair(pair.candidate, pair.reference, comparison, judgement, left_out, tests.get(number, {})))
    return tuple(judged)


def blame(
    pairs: Sequence[Pair], compared: Comparisons, weighed: Weighed, limit: float | None = None
) -> tuple[Blame, ...]:
    """Who differs from the others, of the environments that ran one model; empty where no judged pair does."""
    if not any(pair.judged and pair.judgement.verdict is Verdict.DIFFER for pair in pairs):
        return ()
    met = {cell for pair in pairs if pair.comparison for cell in (pair.candidate, pair.reference)}
    cells = [cell for cell in weighed.precisions if cell in met]  # in the run's order
    if len({cell.role for cell in cells}) != 1:
        return ()
    arbiter = weighed.arbiters.get(cells[0].role)
    engine = Environment.parse(arbiter.environment).backend if isinstance(arbiter, Arbitration) else None
    mislabelled = {cell for pair in pairs for cell in _mislabels(pair)}
    suspects = []
    for cell in cells:
        found = [entry.sound for entry in weighed.sound.get(cell, ()) if entry.sound is not None]
        found += [False] * (cell in mislabelled)
        own = Environment.parse(cell.environment).backend
        noisy = any(noise.beyond for noise in weighed.noise.get(cell, ()))
        voice = weighed.backends.get(cell, own)
        sound = all(found) if found else None
        suspects.append(Suspect(str(cell), voice, sound, noisy, own == engine, object=own == NATIVE))
    verdicts = {
        frozenset((str(pair.candidate), str(pair.reference))): _alike(raw.comparison, pair, weighed, limit)
        for raw, pair in zip(compared.pairs, pairs, strict=True)
        if raw.comparison is not None
    }
    return attribute(suspects, lambda a, b: verdicts.get(frozenset((a, b))))


def _mislabels(pair: Pair) -> set[Cell]:
    """Who chose labels that float64 does not excuse, where the two differ: coarse numbers may be sound all the same."""
    if pair.comparison is None or pair.judgement.verdict is not Verdict.DIFFER:
        return set()
    classes = [output.classification for output in pair.comparison.outputs if output.classification]
    wrong = {flip.wrong for found in classes for flip in found.flips if flip.kind is Kind.FAULT}
    named = {"a": {pair.candidate}, "b": {pair.reference}, "a+b": {pair.candidate, pair.reference}, None: _object(pair)}
    return {cell for side in wrong for cell in named.get(side, ())}


def _object(pair: Pair | Compared) -> set[Cell]:
    """The side that is the model itself, of which the arbiter ran an export."""
    return {cell for cell in (pair.candidate, pair.reference) if cell.environment == NATIVE}


def _alike(comparison: Comparison, pair: Pair, weighed: Weighed, limit: float | None) -> bool | None:
    """Whether two sides agree with each other, whatever float64 says: a majority that asks the arbiter is no witness.

    But a difference that the arbiter explains (a tie, a declared precision) is none.
    """
    ours, theirs = (
        {noise.output: noise for noise in weighed.noise.get(cell, ())} for cell in (pair.candidate, pair.reference)
    )
    alone = judge(comparison, limit, PairEvidence(noise=(ours, theirs))).verdict
    if Verdict.AGREE in (alone, pair.judgement.verdict):
        return True
    return False if alone is pair.judgement.verdict is Verdict.DIFFER else None


def _sides(found: Sequence[Soundness], scores: Mapping[str, Scores | None]) -> dict[str, Side]:
    """By output, what the arbiter knows of a cell's scores."""
    sides = {entry.output: its.side(entry) for entry in found if (its := scores[entry.output]) is not None}
    return {name: side for name, side in sides.items() if side is not None}


def _whole(pair: Compared, weighed: Weighed, comparison: Comparison | None) -> Comparison | None:
    """The comparison with the outputs that a model declares and neither side gave: nothing else tells of those."""
    if comparison is None:
        return None
    cells = (pair.candidate, pair.reference)
    given = {name for cell in cells for name in weighed.given[cell]}
    lost = dict.fromkeys(name for cell in cells for name in weighed.declared[cell.role] if name not in given)
    told = {name: f"output '{name}', which the model declares, is missing from both sides" for name in lost}
    problems = (*comparison.problems, *told.values())
    return replace(comparison, problems=problems, lost={**comparison.lost, **told})


def _triaged(run: Run, pair: Compared, sides: Mapping[Cell, Mapping[str, Side]]) -> Comparison | None:
    if pair.comparison is None or pair.candidate not in sides or pair.reference not in sides:
        return pair.comparison
    both = {}
    for output in pair.comparison.outputs:
        other = _reference_name(run, pair, output.name)
        both[output.name] = (sides[pair.candidate].get(output.name), sides[pair.reference].get(other))
    found = triaged(pair.comparison, both)
    return _excusing(found, "a" if pair.candidate in _object(pair) else "b") if _object(pair) else found


def _excusing(comparison: Comparison, side: str) -> Comparison:
    """Where the labels of the model itself are not its export's, they are not the wrong ones."""

    def excused(flip: Flip) -> Flip:
        others = "+".join(part for part in (flip.wrong or "").split("+") if part != side)
        return replace(flip, wrong=others or None) if flip.kind is Kind.FAULT else flip

    outputs = [
        replace(output, classification=replace(found, flips=tuple(map(excused, found.flips))))
        if (found := output.classification)
        else output
        for output in comparison.outputs
    ]
    return replace(comparison, outputs=tuple(outputs))


def _reference_name(run: Run, pair: Compared, output: str) -> str:
    """What the reference calls the candidate's output."""
    if pair.candidate.role == pair.reference.role:
        return output
    renames: Mapping[str, str] = run.document["map_outputs"]
    return {new: old for old, new in renames.items()}.get(output, output)


def _evidence(
    run: Run, pair: Compared, compared: Comparisons, weighed: Weighed, rate_p: Mapping[str, float]
) -> PairEvidence:
    cells = (pair.candidate, pair.reference)
    one_model = pair.candidate.role == pair.reference.role
    sound = None
    if one_model and all(cell in weighed.sound for cell in cells):
        ours, theirs = ({entry.output: entry for entry in weighed.sound[cell]} for cell in cells)
        sound = (ours, theirs)
    noise: list[dict[str, OutputNoise]] = [
        {entry.output: entry for entry in weighed.noise.get(cell, ())} for cell in cells
    ]
    labels = {}
    for name, found in compared.labels.get(pair.candidate, {}).items():
        others = compared.labels.get(pair.reference, {}).get(_reference_name(run, pair, name), found)
        if reason := one_label(found) or one_label(others):
            labels[name] = reason
    return PairEvidence(sound, (noise[0], noise[1]), _weak(weighed, cells), labels, rate_p, len(run.sample_names))


def _weak(weighed: Weighed, cells: Sequence[Cell]) -> str | None:
    """Why these inputs could not have told, by sabotaged copies of the models, judged as coarsely as the pair is."""
    known = [weighed.precisions[cell] for cell in cells if cell in weighed.precisions]
    for cell in cells:
        own, precision = weighed.powers.get(cell.role), coarser(*known)
        power = weighed.coarse.get((cell.role, precision), own)
        if isinstance(power, Power) and not power.enough:
            return (
                f"these inputs could not have told: of {power.copies} copies of the model with a fault each, "
                f"this comparison notices {power.noticed}" + (f" in {precision}" if power is not own else "")
            )
    return None


def _rate_ps(pairs: Sequence[tuple[Compared, Comparison | None]], limit: float | None) -> dict[int, dict[str, float]]:
    """By the pair's number and output, the p-value of a rate above the limit, adjusted for all that are judged."""
    if limit is None:
        return {}
    found = [
        (number, output.name, exceeds_p(output.classification.disagreements, output.classification.samples, limit))
        for number, (pair, comparison) in enumerate(pairs)
        if comparison is not None and pair.left_out is None
        for output in comparison.outputs
        if output.classification
    ]
    adjusted: dict[int, dict[str, float]] = {}
    for (number, name, _), p_value in zip(found, holm([p for *_, p in found]), strict=True):
        adjusted.setdefault(number, {})[name] = p_value
    return adjusted


def _mcnemar(run: Run, compared: Comparisons) -> dict[int, dict[str, McNemar]]:
    """By the pair's number and output, where labels are known and fit."""
    labels = run.document["labels"]
    if labels is None:
        return {}
    known = np.array([value is not None for value in labels["values"]])
    wanted = np.array([value or 0 for value in labels["values"]]) + (labels["offset"] or 0)
    least, most = wanted[known].min(initial=0), wanted[known].max(initial=0)
    found: list[tuple[int, str, int, int]] = []
    for number, pair in enumerate(compared.pairs):
        for output in pair.comparison.outputs if pair.comparison else ():
            ours = compared.labels.get(pair.candidate, {}).get(output.name)
            theirs = compared.labels.get(pair.reference, {}).get(_reference_name(run, pair, output.name))
            if output.classification is None or ours is None or theirs is None or len(ours) != len(known):
                continue
            if least < 0 or most >= output.classification.classes:  # boxes, features: no scores of these labels
                continue
            right, left = (known & (label == wanted) for label in (theirs, ours))
            found.append((number, output.name, int((left & ~right).sum()), int((right & ~left).sum())))
    p_values = [mcnemar(ours_only, theirs_only) for *_, ours_only, theirs_only in found]
    tests: dict[int, dict[str, McNemar]] = {}
    adjusted = benjamini_hochberg(p_values)
    for (number, name, ours_only, theirs_only), p_value, q_value in zip(found, p_values, adjusted, strict=True):
        tests.setdefault(number, {})[name] = McNemar(ours_only, theirs_only, p_value, q_value)
    return tests
