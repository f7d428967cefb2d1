"""What a pair's verdict is of each of its outputs: which of several is the one that differs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from deltann.comparison.verdict import PairEvidence, Verdict, judge, parse_rate

if TYPE_CHECKING:
    from deltann.comparison.output import OutputComparison
    from deltann.judging import Pair
    from deltann.result import Result

UNABLE = "these inputs could not have told"


def output_verdicts(result: Result, pair: Pair) -> dict[str, Verdict]:
    """By output, in the order of the comparison; outputs that one side lacks come last. Empty without a comparison.

    Each is judged as the pair was, but alone: DIFFER where the pair's verdict rests on it, INCONCLUSIVE where it could
    not be judged (one that is vacuous, also where others let the pair agree). A structural problem that names none of
    the outputs is one of all; so is a DIFFER that none of them has alone.
    """
    if pair.comparison is None:
        return {}
    names = _names(result, pair)
    found = dict.fromkeys(names, pair.judgement.verdict)
    for output in pair.comparison.outputs:
        found[output.name] = _alone(result, pair, output)
    for problem in pair.comparison.problems:
        about = [name for name in names if problem.startswith((f"output '{name}' ", f"output '{name}', "))]
        found |= dict.fromkeys(about or names, Verdict.DIFFER)
    if pair.judgement.verdict is Verdict.DIFFER and Verdict.DIFFER not in found.values():
        return dict.fromkeys(names, Verdict.DIFFER)
    if pair.judgement.verdict is Verdict.INCONCLUSIVE and Verdict.INCONCLUSIVE not in found.values():
        return dict.fromkeys(names, Verdict.INCONCLUSIVE)
    return found


def _names(result: Result, pair: Pair) -> list[str]:
    """Those that were compared first, then what the models declare or one side gave."""
    weighed, cells = result.weighed, (pair.candidate, pair.reference)
    compared = [output.name for output in pair.comparison.outputs] if pair.comparison else []
    declared = [name for cell in cells for name in weighed.declared.get(cell.role, ())]
    given = [name for cell in cells for name in weighed.given.get(cell, ())]
    return list(dict.fromkeys((*compared, *declared, *given)))


def _alone(result: Result, pair: Pair, output: OutputComparison) -> Verdict:
    assert pair.comparison is not None
    weighed, cells = result.weighed, (pair.candidate, pair.reference)
    sound = None
    if pair.candidate.role == pair.reference.role and all(cell in weighed.sound for cell in cells):
        ours, theirs = ({entry.output: entry for entry in weighed.sound[cell]} for cell in cells)
        sound = (ours, theirs)
    noise = [{entry.output: entry for entry in weighed.noise.get(cell, ())} for cell in cells]
    weak = next((reason for reason in pair.judgement.reasons if reason.startswith(UNABLE)), None)
    limit = None if result.criteria.max_disagreement is None else parse_rate(result.criteria.max_disagreement)
    evidence = PairEvidence(sound, (noise[0], noise[1]), weak, samples=len(result.run.sample_names))
    alone = judge(replace(pair.comparison, problems=(), outputs=(output,)), limit, evidence)
    told = [reason in pair.judgement.reasons for reason in alone.reasons]
    if alone.verdict is Verdict.DIFFER and not told[0]:
        # A rate of labels above the limit, which among as many pairs may be chance: the pair was not found to differ.
        return Verdict.INCONCLUSIVE
    one_label = f"output '{output.name}': {UNABLE}"
    if alone.verdict is Verdict.AGREE and any(reason.startswith(one_label) for reason in pair.judgement.reasons):
        return Verdict.INCONCLUSIVE
    return alone.verdict
