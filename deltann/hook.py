"""The pre-commit hook, `python -P -m deltann.hook [OPTIONS OF COMPARE] FILE…`: `deltann compare` for each model.

pre-commit appends the files to the hook's `args`. The models are therefore the last arguments that end in .onnx; an
option that takes a model is written with its value in one argument, `--against=old.onnx`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

MODEL = ".onnx"


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options and the models behind them."""
    first = len(arguments)
    while first and arguments[first - 1].endswith(MODEL) and not arguments[first - 1].startswith("-"):
        first -= 1
    return list(arguments[:first]), list(arguments[first:])


def main(arguments: Sequence[str]) -> int:
    """Compare each model; the exit code is that of the first one that has another than 0. Such a run is kept.

    2 where no model is named, or where one is named like an option: nothing would be compared, or by other options.
    """
    options, models = split(arguments)
    disguised = [text for text in arguments if text.startswith("-") and text.endswith(MODEL) and Path(text).exists()]
    if disguised:
        click.echo(f"deltann: {disguised[0]!r} would be read as an option: rename that file", err=True)
        return 2
    if not models:
        click.echo(f"deltann: no {MODEL} file is the last argument: nothing to compare", err=True)
        return 2
    code = 0
    command = [sys.executable, "-P", "-c", "from deltann.cli import main; main()", "compare"]
    for model in models:
        folder = Path(tempfile.mkdtemp(prefix="deltann-hook-"))
        run = folder / "run"
        ended = subprocess.run([*command, f"--model={model}", f"--out={run}", *options], check=False).returncode
        if ended and run.is_dir():
            click.echo(f"deltann: the run is kept in {run}", err=True)
        else:
            shutil.rmtree(folder)
        code = code or ended
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
