"""How soon a second comparison of the same model runs: `python benchmarks/warm_start.py MODEL.onnx`.

Lowered artifacts and inputs lie in the cache by then. Printed are the seconds from the start of `deltann compare` until
an environment runs its first sample, which is when the file of its times appears, with `reference` beside it; and how
long Python takes to import its framework.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5
FRAMEWORKS = {"ort": "onnxruntime", "torch": "torch", "tf": "tensorflow"}
IMPORT = "import time; began = time.perf_counter(); import {}; print(time.perf_counter() - began)"


def first_run(model: str, spec: str, folder: Path, variables: dict[str, str]) -> float:
    """Seconds until the cell of `spec` runs."""
    command = [str(Path(sys.executable).with_name("deltann")), "compare", "--model", model, "--inputs", "random:1"]
    command += ["--backends", f"{spec},reference", "--evidence", "none", "--out", str(folder)]
    times = folder / "outputs" / "model" / spec / "times.npy"
    began = time.perf_counter()
    with subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while not times.exists():
            if process.poll() is not None:
                assert process.stderr is not None
                sys.exit(f"{' '.join(command)} ended without running {spec}: {process.stderr.read().decode()}")
            time.sleep(0.002)
        return time.perf_counter() - began


def imported(framework: str) -> float:
    """Seconds that its import takes, without the interpreter's start and end."""
    command = [sys.executable, "-c", IMPORT.format(framework)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    """One line an environment."""
    if len(sys.argv) != 2:
        sys.exit("python benchmarks/warm_start.py MODEL.onnx")
    with tempfile.TemporaryDirectory() as scratch:
        variables = {**os.environ, "DELTANN_CACHE": f"{scratch}/cache"}
        for spec, framework in FRAMEWORKS.items():
            seconds, imports = [], []
            for number in range(ROUNDS + 1):
                seconds.append(first_run(sys.argv[1], spec, Path(scratch, f"{spec}-{number}"), variables))
                imports.append(imported(framework))
            print(
                f"{spec}: first comparison {seconds[0]:.2f} s, later ones {statistics.median(seconds[1:]):.2f} s until "
                f"it runs; import {framework} {statistics.median(imports[1:]):.2f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
