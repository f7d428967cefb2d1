"""How soon a second comparison of the same model runs: `python benchmarks/warm_start.py MODEL.onnx`.

Lowered artifacts and inputs lie in the cache by then. Printed are the seconds from the start of the process to the
first sample run by an environment, with `reference` beside it, and how long Python takes to import its framework alone.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5
FRAMEWORKS = {"ort": "onnxruntime", "torch": "torch", "tf": "tensorflow"}


def first_run(model: str, spec: str, folder: str) -> float:
    """Seconds of this process's life until the cell of `spec` runs."""
    import deltann

    started = time.clock_gettime(time.CLOCK_BOOTTIME) - _age()
    heard: list[float] = []

    def listener(what: str, doing: str, _done: int, _total: int | None) -> None:
        if (what, doing) == (spec, "RUN") and not heard:
            heard.append(time.clock_gettime(time.CLOCK_BOOTTIME) - started)

    deltann.compare(model, [spec, "reference"], inputs="random:1", evidence="none", out=folder, listener=listener)
    return heard[0]


def _age() -> float:
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """One line an environment."""
    if len(sys.argv) == 4:
        print(json.dumps(first_run(*sys.argv[1:])))
        return
    model = sys.argv[1]
    with tempfile.TemporaryDirectory() as scratch:
        variables = {**os.environ, "DELTANN_CACHE": f"{scratch}/cache"}
        for spec, framework in FRAMEWORKS.items():
            seconds, imports = [], []
            for number in range(ROUNDS + 1):
                command = [sys.executable, __file__, model, spec, f"{scratch}/{spec}-{number}"]
                done = subprocess.run(command, env=variables, check=True, capture_output=True, text=True)
                seconds.append(json.loads(done.stdout.splitlines()[-1]))
                began = time.perf_counter()
                subprocess.run([sys.executable, "-c", f"import {framework}"], check=True, capture_output=True)
                imports.append(time.perf_counter() - began)
            warm = statistics.median(seconds[1:])
            print(
                f"{spec}: first comparison {seconds[0]:.2f} s, later ones {warm:.2f} s until it runs; "
                f"import {framework} {statistics.median(imports[1:]):.2f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
