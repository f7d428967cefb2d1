"""How long `deltann --help` and `deltann backends` take, beside Python's own start: `python benchmarks/start_up.py`."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

from measure import run

ROUNDS = 15


def main() -> None:
    """Print medians of interleaved runs."""
    deltann = str(Path(sys.executable).with_name("deltann"))
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "deltann --help": [deltann, "--help"],
        "deltann backends": [deltann, "backends"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            times[name].append(run(command).wall_s)
    for name, values in times.items():
        print(f"{name}: median {statistics.median(values):.3f} s, {min(values):.3f} to {max(values):.3f}")


if __name__ == "__main__":
    main()
