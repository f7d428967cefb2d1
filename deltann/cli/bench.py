"""`deltann bench`: is an environment slower, by how much, and could this machine have told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deltann.cli.output import echo, echo_screen

if TYPE_CHECKING:
    from rich.console import RenderableType

    from deltann.result import Result
    from deltann.timing.stored import Timing

_JUDGING = ("margin", "percentile", "reference")
_MEASURING = (*_JUDGING, "budget", "pin")


@click.command()
@click.option("--model", type=click.Path(path_type=Path), help="The model: an .onnx file, or a .tflite one.")
@click.option("--backends", help="Environments, comma-separated: torch,ort-O1,tvm-O3,ort[threads=1].")
@click.option("--reference", help="The environment that the others are timed against. [default: the first]")
@click.option("--margin", metavar="SHARE", help="The slowdown that must not go unnoticed. [default: 5%]")
@click.option(
    "--budget",
    type=float,
    metavar="SECONDS",
    help="What measuring may take, all pairs together. Five rounds are done where they take no more than "
    "three times that; confirming a difference may take as long again. [default: 60; to calibrate 300]",
)
@click.option("--percentile", type=float, metavar="P",
              help="Of the runs: 50 is the median; 90 and more take many runs. [default: 50]")  # fmt: skip
@click.option("--threads", type=int, metavar="N", help="Set the option 'threads' of every environment.")
@click.option("--pin", metavar="CPUS", help="Processors that the environments may use: 0,1 or 0-3.")
@click.option("--batch-size", type=int, help="Samples a run, where the model's batch is dynamic. [default: 1]")
@click.option("--inputs", help="A folder of images, an .npz or .npy file, or random:N[,seed=…,dist=normal|uniform]. "
              "[default: random:16]")  # fmt: skip
@click.option("--shape", multiple=True, metavar="NAME=1x3x224x224", help="Bind the dynamic dimensions of an input.")
@click.option(
    "--preprocess", metavar="NAME|FILE.toml", help="How images become inputs: a preset or a pipeline of yours."
)
@click.option("--limit", type=int, help="Use the first N samples.")
@click.option("--timeout", multiple=True, metavar="[STAGE=]SECONDS",
              help="Deadline of each stage (CONVERT, COMPILE, LOAD; RUN: between signs of progress), or of one. "
              "[default: 600]")  # fmt: skip
@click.option("--memory-limit", metavar="SHARE|SIZE",
              help="What one environment may take: 80%, 4GiB. [default: 80%]")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path),
              help="Folder of the run; of a finished comparison too, which is then timed. "
              "[default: runs/DATE-MODEL]")  # fmt: skip
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="Also write everything to this file ('-': stdout)."
)
@click.option("--against", type=click.Path(path_type=Path), metavar="RUN",
              help="Show the times of another day or host beside these; no verdict rests on them.")  # fmt: skip
@click.option("--from", "from_run", type=click.Path(path_type=Path), metavar="RUN",
              help="Judge stored times by another margin, percentile or reference; nothing is executed.")  # fmt: skip
@click.option("--calibrate", is_flag=True,
              help="Time the first environment against itself, again and again, and keep what that says of this "
              "machine: how often it errs, and the smallest slowdown it finds.")  # fmt: skip
def bench(json_file: Path | None, against: Path | None, from_run: Path | None, calibrate: bool, **options: Any) -> None:
    """Time one model under several environments side by side, in turns, in fresh processes each round.

    Exit codes: 0 none is slower, 1 one is slower (or its outputs differ), 3 a backend failed, 4 inconclusive.
    """
    from deltann.errors import UsageError

    if json_file is not None and str(json_file) != "-" and not json_file.absolute().parent.is_dir():
        raise UsageError(f"cannot write {json_file}: {json_file.parent} is no folder; choose another --json")
    given = {key: value for key, value in options.items() if value is not None and value != ()}
    if calibrate:
        for name, value in (("--from", from_run), ("--against", against), ("--out", given.get("out"))):
            if value is not None:
                raise UsageError(f"--calibrate does not go with {name}: it measures the machine, and keeps no run")
        _calibrate(given, json_file)
        return
    if from_run is not None:
        if other := [key for key in given if key not in _JUDGING]:
            raise UsageError(f"--from takes no --{other[0].replace('_', '-')}: stored times are only judged anew")
        result, timing = _stored(from_run, given)
    else:
        if against is not None:
            _stored(against, {}, "--against ")  # before anything is measured
        result, timing = _measured(given, against)
    show(result, timing, json_file, against)
    sys.exit(timing.exit_code)


def _stored(folder: Path, judging: dict[str, Any], what: str = "") -> tuple[Result, Timing]:
    import deltann
    from deltann.errors import UsageError
    from deltann.timing.stored import timing

    result = deltann.load(folder)
    found = timing(result.run, **judging, result=result)
    if found is None:
        raise UsageError(f"{what}{folder}: it holds no times; make them by deltann bench --out {folder}")
    return result, found


def _measured(given: dict[str, Any], against: Path | None) -> tuple[Result, Timing]:
    from deltann.environment import parse_all
    from deltann.runner.spare import spare_workers

    with spare_workers(parse_all(given["backends"]) if "backends" in given else ()):
        from deltann.report.progress import progress
        from deltann.timing.study import bench_model

        with progress() as listener:
            return bench_model(beside=against, listener=listener, **given)


def show(result: Result, timing: Timing, json_file: Path | None, against: Path | None = None) -> None:
    """Print the one screen, and write the JSON where it was asked for."""
    import json

    from deltann.report.contents import with_times
    from deltann.report.json import document
    from deltann.report.timing import bench_screen
    from deltann.store import open_run
    from deltann.timing.against import against as beside

    other = None if against is None else beside(timing, open_run(against))
    # The exit code is that of the times alone: how the outputs compare is not what was asked.
    told = {**document(with_times(result, timing, other)), "exit_code": timing.exit_code}
    _print(bench_screen(timing, other), json.dumps(told, indent=1, allow_nan=False), json_file)


def _print(screen: RenderableType, document: str, json_file: Path | None) -> None:
    from rich.console import Console

    from deltann.errors import UsageError

    if json_file is not None and str(json_file) == "-":
        echo(document + "\n")
        return
    console = Console(highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(screen)
    echo_screen(captured.get())
    if json_file is not None:
        try:
            json_file.write_text(document)
        except OSError as error:
            raise UsageError(f"cannot write {json_file}: {error.strerror}; choose another --json") from error


def _calibrate(given: dict[str, Any], json_file: Path | None) -> None:
    """Calibrate the machine, and show what it says of itself."""
    import json

    from deltann.environment import parse_all
    from deltann.errors import UsageError
    from deltann.report.progress import progress
    from deltann.report.timing import calibration_screen
    from deltann.report.timing_json import calibration_json
    from deltann.runner.cell import Limits
    from deltann.timing.machine import CALIBRATING_S, calibrate_machine, material
    from deltann.timing.options import Options, with_threads

    for needed in ("model", "backends"):
        if needed not in given:
            raise UsageError(f"--{needed} is missing: deltann bench --calibrate --model FILE.onnx --backends ort")
    asked = {key: given[key] for key in _MEASURING if key in given}
    options = Options.of(**{"budget": CALIBRATING_S, **asked})
    limits = Limits.of(**{key: given[key] for key in ("timeout", "memory_limit") if key in given})
    environments = parse_all(given["backends"])
    if "threads" in given:
        environments = with_threads(environments, given["threads"])
    made_of = ("inputs", "shape", "preprocess", "limit", "batch_size")
    work = material(given["model"], **{key: given[key] for key in made_of if key in given})
    with progress() as listener:
        found = calibrate_machine(work, environments[0], options, limits, listener)
    document = json.dumps(calibration_json(found, str(environments[0])), indent=1, allow_nan=False)
    _print(calibration_screen(found, str(environments[0]), work.model.name), document, json_file)
