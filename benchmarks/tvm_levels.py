"""How fast TVM's levels are beside `tvm-O1`: `python benchmarks/tvm_levels.py MODEL.onnx [--rounds 5]`.

Each round compares all levels, in an order of its own and in fresh processes; the artifacts come from the cache after
the first. Printed are the medians of the ratios of times within a round.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
from pathlib import Path

LEVELS = ("tvm-O0", "tvm-O1", "tvm-O2", "tvm-O3", "tvm-O4")


def main() -> None:
    """Run the rounds and print a line a level."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["DELTANN_CACHE"] = f"{scratch}/cache"
        import deltann

        rounds = []
        for number in range(arguments.rounds):
            levels = random.Random(number).sample(LEVELS, len(LEVELS))
            result = deltann.compare(
                arguments.model, levels, inputs="random:8", evidence="none", out=f"{scratch}/{number}"
            )
            rounds.append({row.environment: row.median_ms for row in result.cells.itertuples()})
    for level in LEVELS:
        ratios = [times["tvm-O1"] / times[level] for times in rounds]
        times_ms = statistics.median(times[level] for times in rounds)
        print(f"{level}: {times_ms:.1f} ms, {statistics.median(ratios):.2f} times as fast as tvm-O1 "
              f"({min(ratios):.2f} to {max(ratios):.2f})")  # fmt: skip


if __name__ == "__main__":
    main()
