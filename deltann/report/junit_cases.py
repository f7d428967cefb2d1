"""Which environment is at fault for which output, and what a test case says of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

from deltann.acceptance import ACCEPTED, accepted
from deltann.comparison.attribution import Sure
from deltann.comparison.verdict import Verdict
from deltann.findings import who_is_wrong
from deltann.frames import flip_rows
from deltann.report.flips import label_text, margin
from deltann.report.text import printable
from deltann.store import Cell

if TYPE_CHECKING:
    from deltann.comparison.verdict import Judgement
    from deltann.judging import Pair
    from deltann.report.contents import Contents
    from deltann.result import Result

MOST_SAMPLES = 5


class Kind(Enum):
    """What a judged pair means for the case of one of its sides, the worst first; `element` is what JUnit calls it."""

    DIFFER = "DIFFER"
    INCONCLUSIVE = "INCONCLUSIVE"
    ACCEPTED = "ACCEPTED"
    VACUOUS = "VACUOUS"
    PASSED = "PASSED"

    @property
    def element(self) -> str:
        """Empty where the case passes."""
        return {"DIFFER": "failure", "INCONCLUSIVE": "error", "PASSED": ""}.get(self.value, "skipped")


FAULTS = list(Kind)


@dataclass(frozen=True)
class Fault:
    """What one pair says of an environment's output; `message` is one line, `text` several."""

    kind: Kind
    message: str = ""
    text: str = ""


Faults: TypeAlias = Mapping[tuple[Cell, str], list[Fault]]


def judged(contents: Contents) -> Faults:
    """By cell and output what each judged pair says of it."""
    result = contents.result
    found: dict[tuple[Cell, str], list[Fault]] = defaultdict(list)
    for pair in result.compared:
        if not pair.judged or pair.judgement.verdict is Verdict.NOT_COMPARED:
            continue
        judgements = pair.judgement.outputs or _of_all(result, pair)
        for output, judgement in judgements.items():
            known = accepted(contents, str(pair.candidate), str(pair.reference), output)
            at_fault = _at_fault(result, pair, output, judgement.verdict)
            for cell in (pair.candidate, pair.reference):
                guilty = cell in at_fault and judgement.verdict is not Verdict.AGREE
                found[cell, output].append(
                    _fault(result, pair, output, judgement, known) if guilty else Fault(Kind.PASSED)
                )
    return found


def _of_all(result: Result, pair: Pair) -> dict[str, Judgement]:
    """The judgement of a pair of whose outputs there is none, for all of them."""
    cells = (pair.candidate, pair.reference)
    names = [name for cell in cells for name in result.weighed.given.get(cell, ())]
    return dict.fromkeys(names, pair.judgement)


def _at_fault(result: Result, pair: Pair, output: str, verdict: Verdict) -> tuple[Cell, ...]:
    cells, weighed = (pair.candidate, pair.reference), result.weighed
    # Who lacks an output that the model declares, or gives one that it does not, is wrong whatever the others do.
    odd = tuple(
        cell
        for cell in cells
        if (output in weighed.given.get(cell, ())) != (output in weighed.declared.get(cell.role, ()))
    )
    if odd:
        return odd
    if result.criteria.reference is not None or pair.candidate.role != pair.reference.role:
        return (pair.candidate,)
    blamed = {name for blame in result.blamed if blame.sure is not Sure.UNKNOWN for name in blame.cells}
    sure = tuple(cell for cell in cells if str(cell) in blamed)
    return sure if sure and verdict is Verdict.DIFFER else cells


def _fault(result: Result, pair: Pair, output: str, judgement: Judgement, known: bool) -> Fault:
    sides, verdict, own = f"{pair.candidate} against {pair.reference}", judgement.verdict, judgement.reasons
    message = f"{sides}: {own[0] if own else verdict.value}"
    lines = [f"{sides}: {verdict.value}", *(f"  · {reason}" for reason in own)]
    lines += [f"  {line}" for line in worst_samples(result, pair, output)]
    names = {str(pair.candidate), str(pair.reference)}
    lines += [who_is_wrong(blame) for blame in result.blamed if names & set(blame.cells)]
    text = "\n".join(map(printable, lines))  # a line break in a name must not make a line of its own
    if known:
        return Fault(Kind.ACCEPTED, f"{ACCEPTED}: {message}", text)
    if verdict is Verdict.INCONCLUSIVE and pair.judgement.verdict is Verdict.AGREE:
        return Fault(Kind.VACUOUS, message, text)
    return Fault(Kind.DIFFER if verdict is Verdict.DIFFER else Kind.INCONCLUSIVE, message, text)


def worst_samples(result: Result, pair: Pair, output: str, most: int = MOST_SAMPLES) -> list[str]:
    """The samples that disagree most on an output, a line each, label flips of the largest margin first."""
    rows = [row for row in flip_rows(result, pair) if row["output"] == output]
    rows.sort(key=margin, reverse=True)
    lines = [f"sample {row['sample']}: {_labels(result, row)}" for row in rows[:most]]
    lines += [f"… and {len(rows) - most} more samples"] if len(rows) > most else []
    outputs = pair.comparison.outputs if pair.comparison else ()
    for numeric in (o.numeric for o in outputs if o.name == output and o.numeric):
        if numeric.worst_sample is not None and (numeric.outside or numeric.nonfinite_one_side):
            name = result.run.sample_names[numeric.worst_sample]
            apart = "not finite on one side" if numeric.nonfinite_one_side else f"max |Δ| {numeric.max_abs:.3g}"
            lines.append(f"largest difference: sample {name}, {apart}")
    return lines


def _labels(result: Result, row: Mapping[str, Any]) -> str:
    sides = ("candidate_label", "reference_label", "arbiter_label")
    labels = [label_text(result, row[side], row["output"]) for side in sides if row[side] is not None]
    margins = ["-" if row[side] is None else f"{row[side]:.2g}" for side in ("candidate_margin", "reference_margin")]
    truth = f", float64 {labels[2]}" if labels[2:] else ""
    return f"{' instead of '.join(labels[:2])}{truth}; margins {' / '.join(margins)}; {row['kind']}"
