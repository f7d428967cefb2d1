"""What the plugin adds to `pytest --co` of an empty project: `python benchmarks/pytest_collect.py`.

Interleaved runs with the plugin and without it (`-p no:deltann`), in random order; the target is 50 ms. Both read the
same entry points and start the same interpreter, so what is left is what the plugin itself imports and does.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile

from measure import run

TARGET_MS = 50
NO_TESTS = 5
COMMAND = [sys.executable, "-m", "pytest", "--co", "-q", "-p", "no:cacheprovider"]


def main() -> None:
    """Print the medians, their ratio, and the median of the differences of neighbours."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    times: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            for plugin in random.sample([True, False], 2):
                command = [*COMMAND, "--rootdir", folder, *([] if plugin else ["-p", "no:deltann"]), folder]
                took = run(command, expected=NO_TESTS).wall_s
                if number:  # the first round compiles
                    times[plugin].append(took)
    differences = [1e3 * (ours - bare) for ours, bare in zip(times[True], times[False], strict=True)]
    bare = statistics.median(times[False])
    print(f"without the plugin: median {1e3 * bare:.0f} ms")
    print(f"with it: {statistics.median(times[True]) / bare:.3f} times as long")
    low, _, high = statistics.quantiles(differences, n=4)
    added = statistics.median(differences)
    print(f"added: median {added:.1f} ms (quartiles {low:.1f} to {high:.1f}), target below {TARGET_MS} ms")
    sys.exit(added >= TARGET_MS)


if __name__ == "__main__":
    main()
