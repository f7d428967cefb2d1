"""How the errors of samples lie, for every pair and output of a run that was compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltann.comparison.distribution import Distribution, distribution, sample_errors
from deltann.comparison.output import OutputComparison
from deltann.comparison.outside import samples_outside
from deltann.comparison.rows import Array, without_trailing_ones
from deltann.outcome import Status

if TYPE_CHECKING:
    from deltann.judging import Pair
    from deltann.result import Result


@dataclass(frozen=True)
class PairDistribution:
    """Of one output (by its name in the comparison) of one pair of cells, |candidate − reference| of each sample.

    A sample's error is the largest over its elements. Of an output that has no row a sample, a row is a whole batch.
    """

    candidate: str
    reference: str
    output: str
    distribution: Distribution


def distributions(result: Result) -> tuple[PairDistribution, ...]:
    """Of every pair and output whose numbers were compared, in the order of `result.compared`.

    8 environments of 1,000 samples of 1,000 scores take well under a second, 50,000 samples some ten.
    """
    return tuple(
        PairDistribution(str(pair.candidate), str(pair.reference), output.name, distribution(sample_errors(a, b)))
        for pair, output, a, b in compared_arrays(result)
    )


def outside(result: Result) -> Mapping[tuple[str, str, str], int]:
    """By (candidate, reference, output), of what was compared: how many samples are off, as `samples_outside` says.

    Arrays are read again only where the comparison has found an element that is off.
    """
    found = {}
    for pair, output, a, b in compared_arrays(result):
        numeric, count = output.numeric, 0
        if numeric and output.tolerance and (numeric.outside or numeric.nonfinite_one_side or numeric.nonfinite_both):
            count = samples_outside(a, b, output.tolerance)
        found[str(pair.candidate), str(pair.reference), output.name] = count
    return found


def compared_arrays(result: Result) -> Iterator[tuple[Pair, OutputComparison, Array, Array]]:
    """Of every pair and output whose numbers were compared: the candidate's and the reference's array, of one shape.

    [N, …], memory-mapped, of each only the classes that count, without trailing dimensions of size 1.
    """
    run = result.run
    held = {record.cell: run.outputs(record.cell) for record in result.records if record.outcome.status is Status.OK}
    renames = {new: old for old, new in run.document["map_outputs"].items()}
    for pair in result.compared:
        two_models = pair.candidate.role != pair.reference.role
        for output in pair.comparison.outputs if pair.comparison else ():
            if output.numeric is None:
                continue
            other = renames.get(output.name, output.name) if two_models else output.name
            a, b = held[pair.candidate][output.name], held[pair.reference][other]
            yield pair, output, without_trailing_ones(a), without_trailing_ones(b)
