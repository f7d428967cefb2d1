"""The figures on simulated times that `docs/design/time.md` and the docstrings of `deltann.timing` quote.

    python benchmarks/simulated_times.py [--experiments 500]

On each machine of `deltann.testing.simulated`, so many experiments of equal times, and as many of times 5 % and 10 %
apart; some four minutes on one core, shared out among `--processes`. Seeded: the figures are the same each time.

Coverage, of equal times: how often the interval said to cover 95 % holds the truth, of 5 rounds and of 10, for the
hierarchical percentile bootstrap (rounds are drawn with replacement, then blocks in each, `DRAWS` times; the statistic
is that of `slowdown`) and for Student's, and for Student's where `precise_enough` ends it, looked at after each round
from the fifth to the twelfth. Verdicts: how often REGRESSION is said, as the stop rule ends it and of 5 rounds alone,
each pair judged by itself and confirmed by as many rounds. "slower once": by 5 rounds, before confirmation.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np

from deltann.testing.simulated import MACHINES, Machine, simulate
from deltann.timing.estimate import Estimate, slowdown
from deltann.timing.series import FEWEST_ROUNDS, Series
from deltann.timing.verdict import TimeVerdict, judge_times, precise_enough, to_confirm
from deltann.timing.warmup import warm_up

MOST_ROUNDS = 12
TRUE = {"same": 0.0, "5 %": 0.05, "10 %": 0.10}
PAIR = ("new", "old")
DRAWS = 1000
Sides = tuple[Series, Series]


def first(sides: Sides, rounds: int) -> Sides:
    """The first so many rounds."""
    new, old = (Series(side.environment, side.rounds[:rounds]) for side in sides)
    return new, old


def stopped(sides: Sides) -> Estimate:
    """The estimate that measuring ends with."""
    for rounds in range(FEWEST_ROUNDS, MOST_ROUNDS + 1):
        estimate = slowdown(*first(sides, rounds))
        if precise_enough(estimate):
            break
    return estimate


def bootstrap(sides: Sides, discarded: int, rng: np.random.Generator) -> tuple[float, float]:
    """The 95 % interval of the log ratio, by the hierarchical percentile bootstrap; blocks are slices."""
    medians = [np.median([seconds[discarded:] for seconds in side.rounds], axis=2) for side in sides]
    blocks = np.log(medians[0]) - np.log(medians[1])
    rounds, slices = blocks.shape
    chosen = rng.integers(rounds, size=(DRAWS, rounds, 1))
    drawn = blocks[chosen, rng.integers(slices, size=(DRAWS, rounds, slices))]
    low, high = np.percentile(np.median(drawn, axis=2).mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def regression(estimate: Estimate, again: Sides) -> bool:
    """Whether the verdict is REGRESSION, confirmed where that is asked by as many rounds of `again`."""
    flagged = to_confirm({PAIR: estimate})
    second = {pair: slowdown(*first(again, estimate.rounds)) for pair in flagged}
    return judge_times({PAIR: estimate}, confirmations=second)[PAIR].verdict is TimeVerdict.REGRESSION


def experiment(seed: int, name: str, machine: Machine) -> dict[str, float]:
    """What is counted of one experiment of each truth; without coverage where there is no estimate."""
    found: dict[str, float] = {}
    for number, (truth, true) in enumerate(TRUE.items()):
        key = [list(MACHINES).index(name), seed, number]
        sides, again = (
            simulate(np.random.SeedSequence([*key, part]).generate_state(1)[0], machine, true, rounds=MOST_ROUNDS)
            for part in (0, 1)
        )
        ended, five = stopped(sides), slowdown(*first(sides, FEWEST_ROUNDS))
        found[f"{truth}: REGRESSION"] = regression(ended, again)
        found[f"{truth}: REGRESSION by 5 rounds"] = regression(five, again)
        if truth != "same":
            continue
        found["rounds"] = ended.rounds
        found["slower once"] = bool(to_confirm({PAIR: five})) and five.slowdown > 0
        rng = np.random.default_rng(key)
        for rounds in (5, 10):
            part = first(sides, rounds)
            estimate = slowdown(*part)
            if estimate.enough is None:
                low, high = bootstrap(part, estimate.discarded, rng)
                found[f"bootstrap, {rounds}"] = low <= 0 <= high
                found[f"Student, {rounds}"] = estimate.low <= 0 <= estimate.high
        if ended.enough is None:
            found["Student, stopped"] = ended.low <= 0 <= ended.high
        dropped = [warm_up(side) for side in first(sides, FEWEST_ROUNDS)]
        found["never steady"] = float(np.mean([slices is None for slices in dropped]))
        found["dropped in vain"] = float(np.mean([bool(slices) for slices in dropped]))
    return found


def means(found: list[dict[str, float]]) -> dict[str, float]:
    """Of each count, over the experiments that have it."""
    names = dict.fromkeys(name for one in found for name in one)
    return {name: float(np.mean([one[name] for one in found if name in one])) for name in names}


def table(rates: Mapping[str, Mapping[str, float]]) -> str:
    """In Markdown, a row a figure and a column a machine."""
    lines = ["| | " + " | ".join(rates) + " |", "|---" * (len(rates) + 1) + "|"]
    for figure in next(iter(rates.values())):
        cells = [f"{its[figure]:.1f}" if figure == "rounds" else f"{100 * its[figure]:.1f} %" for its in rates.values()]
        lines.append(f"| {figure} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=500, help="of each machine")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    rates = {}
    with ProcessPoolExecutor(arguments.processes) as pool:
        for name, machine in MACHINES.items():
            one = partial(experiment, name=name, machine=machine)
            rates[name] = means(list(pool.map(one, range(arguments.experiments), chunksize=10)))
    print(f"{arguments.experiments} experiments on each machine\n\n{table(rates)}")


if __name__ == "__main__":
    main()
