"""Could these inputs have told? The share of sabotaged copies of the model that the same comparison notices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from deltann.comparison.evidence import Arbitration, Outputs, Sabotage, Sabotaged
from deltann.comparison.output import Comparison, OutputComparison, compare_outputs
from deltann.comparison.precision import Precision
from deltann.comparison.soundness import Apart, Soundness, perturbations, soundness
from deltann.comparison.statistics import proportion_interval
from deltann.comparison.summary import summaries
from deltann.comparison.tolerance import Tolerances
from deltann.comparison.triage import Scores, triaged
from deltann.comparison.verdict import PairEvidence, Verdict, judge
from deltann.tasks import Task

ENOUGH = 0.5
"""Inputs that miss half of the faults are no test: below this share, agreement on them is INCONCLUSIVE.

Copies differ in severity, and some of their faults are small; photographs through trained classifiers show 90 % and
more of them, constant outputs none.
"""


@dataclass(frozen=True)
class Power:
    """Of `copies` sabotaged ones, how many the comparison's own criteria noticed (`interval`: Wilson, 95 %).

    `by_numbers`: an element left the tolerance; `by_labels`: a top-1 label changed. `missed` describes those that were
    not noticed. `by_kind`: (noticed, copies) of each class of fault. Copies that did not run are not among them.
    """

    environment: str
    samples: int
    copies: int
    noticed: int
    by_numbers: int
    by_labels: int
    interval: tuple[float, float]
    missed: tuple[str, ...]
    by_kind: Mapping[str, tuple[int, int]]

    @property
    def share(self) -> float:
        """What was noticed, of all."""
        return self.noticed / self.copies

    @property
    def enough(self) -> bool:
        """Whether agreement on these inputs means something."""
        return self.share >= ENOUGH


def power(
    sabotage: Sabotage,
    tolerances: Tolerances,
    tasks: Mapping[str, Task],
    limit: float | None,
    arbitration: Arbitration | None = None,
    precision: Precision = Precision.FLOAT32,
    samples: int = 0,
) -> Power | None:
    """Judge each copy that ran beside the model as it is, by these criteria; None where there are none.

    `arbitration`, where there is one, judges the copies as it judges environments, by what `precision` can give; its
    samples begin with those of the copies. It is left out where it finds the model as it is unsound, which would be
    noticed whatever a copy does. `samples`: how many the comparison has; a rate is judged as if so many showed it.
    """
    copies = [(copy, copy.outputs) for copy in sabotage.copies if copy.outputs is not None]
    if not copies:
        return None
    ran = len(next(iter(sabotage.sound.values()), ()))
    exact = None if arbitration is None else arbitration.chosen_alone()
    perturbed = {} if exact is None else perturbations(exact)
    theirs = {} if exact is None else _by_output(sabotage.sound, exact, precision, perturbed)
    if any(entry.sound is False for entry in theirs.values()):
        exact = None
    scores = {} if exact is None else {name: Scores.of(exact, name) for name in theirs}
    sides, known = ("the sabotaged copy", "the model"), summaries(sabotage.sound, tolerances, tasks)
    noticed, numbers, labels = [], 0, 0
    for _, outputs in copies:
        meant = {name: task for name, task in tasks.items() if name in outputs}
        comparison = compare_outputs(
            outputs, sabotage.sound, tolerances, meant, sides=sides, ranked_rows=1, summaries=({}, known)
        )
        numbers += any(o.numeric and (o.numeric.outside or o.numeric.nonfinite_one_side) for o in comparison.outputs)
        labels += any(o.classification and o.classification.disagreements for o in comparison.outputs)
        evidence = PairEvidence()
        if exact is not None:
            ours = _by_output(outputs, exact, precision, perturbed)
            evidence = PairEvidence(sound=(ours, theirs))
            # The model as it is counts as sound where it could not be judged: faults are the copy's.
            both = {
                name: (its.side(ours[name]), its.side(replace(theirs[name], sound=True)))
                for name, its in scores.items()
                if its is not None
            }
            comparison = triaged(comparison, both)
        noticed.append(judge(_as_if(comparison, samples), limit, evidence).verdict is Verdict.DIFFER)
    return Power(
        environment=sabotage.environment,
        samples=ran,
        copies=len(copies),
        noticed=sum(noticed),
        by_numbers=numbers,
        by_labels=labels,
        interval=proportion_interval(sum(noticed), len(copies)),
        missed=tuple(
            f"{copy.kind}: {copy.description}" for (copy, _), seen in zip(copies, noticed, strict=True) if not seen
        ),
        by_kind=_by_kind([copy for copy, _ in copies], noticed),
    )


def _by_output(
    outputs: Outputs, exact: Arbitration, precision: Precision, perturbed: Mapping[str, Sequence[Apart]]
) -> dict[str, Soundness]:
    return {entry.output: entry for entry in soundness(outputs, exact, precision, perturbed)}


def _as_if(comparison: Comparison, samples: int) -> Comparison:
    """The same rates of labels, of so many samples."""
    return replace(comparison, outputs=tuple(_of_all(output, samples) for output in comparison.outputs))


def _of_all(output: OutputComparison, samples: int) -> OutputComparison:
    classes = output.classification
    if classes is None or classes.samples >= samples:
        return output
    count = round(classes.rate * samples)
    return replace(output, classification=replace(classes, samples=samples, disagreements=count))


def _by_kind(copies: Sequence[Sabotaged], noticed: Sequence[bool]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for copy, seen in zip(copies, noticed, strict=True):
        of_kind = found.get(copy.kind, (0, 0))
        found[copy.kind] = (of_kind[0] + seen, of_kind[1] + 1)
    return found
