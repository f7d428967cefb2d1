"""The pre-commit hook, `python -m deltann.hook [OPTIONS OF COMPARE] FILE…`: `deltann compare` for each model.

pre-commit appends the files to the hook's `args`. The models are therefore the last arguments that end in .onnx or
.tflite; an option that takes a model is written with its value in one argument, `--against=old.onnx`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

MODELS = (".onnx", ".tflite")


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options and the models behind them."""
    first = len(arguments)
    while first and arguments[first - 1].endswith(MODELS) and not arguments[first - 1].startswith("-"):
        first -= 1
    return list(arguments[:first]), list(arguments[first:])


def main(arguments: Sequence[str]) -> int:
    """Compare each model; the exit code is that of the first one that has another than 0. Runs are not kept."""
    options, models = split(arguments)
    code = 0
    command = [sys.executable, "-P", "-c", "from deltann.cli import main; main()", "compare"]
    for model in models:
        with tempfile.TemporaryDirectory(prefix="deltann-hook-") as folder:
            where = [f"--model={model}", f"--out={Path(folder) / 'run'}"]
            ended = subprocess.run([*command, *where, *options], check=False).returncode
        code = code or ended
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
