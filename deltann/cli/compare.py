"""`deltann compare`: the main command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deltann.cli.reports import Reports, report_options, show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deltann import Result
    from deltann.runner.cells import Listener


@click.command()
@click.option("--model", type=click.Path(path_type=Path), help="The model: an .onnx file, or a .tflite one.")
@click.option("--backends", help="Environments, comma-separated: torch,ort-O1,tvm-O3,torch[precision=float64].")
@click.option("--against", type=click.Path(path_type=Path), help="A second model, compared under each backend.")
@click.option("--map-outputs", multiple=True, metavar="OLD=NEW",
              help="Match output OLD of --model with NEW of --against; OLD[1:] leaves out class 0.")  # fmt: skip
@click.option("--inputs", help="A folder of images, an .npz or .npy file, or random:N[,seed=…,dist=normal|uniform]. "
              "[default: random:64]")  # fmt: skip
@click.option("--shape", multiple=True, metavar="NAME=1x3x224x224", help="Bind the dynamic dimensions of an input.")
@click.option(
    "--preprocess", metavar="NAME|FILE.toml", help="How images become inputs: a preset or a pipeline of yours."
)
@click.option("--labels", type=click.Path(path_type=Path), help="CSV with the samples' true classes.")
@click.option(
    "--label-offset", type=int, help="Class = label + offset (1 for models with a background class). [default: 0]"
)
@click.option("--class-names", type=click.Path(path_type=Path), metavar="FILE",
              help="Names of the model's classes, for reports: a name a line, or JSON.")  # fmt: skip
@click.option("--limit", type=int, help="Use the first N samples.")
@click.option("--batch-size", type=int, help="Samples a run, where the model's batch is dynamic. [default: 1]")
@click.option("--skip-bad-inputs", is_flag=True, help="Go on without the images that cannot be read.")
@click.option("--reference", help="The environment to judge the others by; every pair is judged where absent.")
@click.option("--rtol", multiple=True, metavar="[OUTPUT=]X", help="Relative tolerance, for all outputs or one.")
@click.option("--atol", multiple=True, metavar="[OUTPUT=]X", help="Absolute tolerance, for all outputs or one.")
@click.option("--max-disagreement", metavar="RATE", help="Share of samples whose top-1 may differ: 0.5% or 0.005.")
@click.option("--task", multiple=True, metavar="[OUTPUT=]TASK",
              help="What all outputs are, or one: classification or tensor. [default: classification for float scores "
              "of shape N, C]")  # fmt: skip
@click.option("--timeout", multiple=True, metavar="[STAGE=]SECONDS",
              help="Deadline of each stage (CONVERT, COMPILE, LOAD; RUN: between signs of progress), or of one. "
              "[default: 600]")  # fmt: skip
@click.option("--memory-limit", metavar="SHARE|SIZE",
              help="What one environment may take: 80%, 4GiB. [default: 80%]")  # fmt: skip
@click.option("--evidence", metavar="KINDS",
              help="What the verdict rests on beside the outputs: arbiter (the graph in float64), noise (each "
              "environment again), power (sabotaged copies of the model); all, or none. [default: all]")  # fmt: skip
@click.option("--evidence-samples", type=int, help="Samples that evidence is gathered on. [default: 16]")
@click.option("--bench", is_flag=True, help="Time the environments too, side by side, as deltann bench does.")
@click.option("--margin", metavar="SHARE", help="With --bench: the slowdown that must not go unnoticed. [default: 5%]")
@click.option("--budget", type=float, metavar="SECONDS", help="With --bench: what measuring may take. [default: 60]")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run. [default: runs/DATE-MODEL]")
@report_options
@click.option("--from", "from_run", type=click.Path(path_type=Path), metavar="RUN",
              help="Judge a stored run by other thresholds; nothing is executed.")  # fmt: skip
def compare(from_run: Path | None, bench: bool, **options: Any) -> None:
    """Run one model under several environments on identical inputs, and say where they differ."""
    from deltann.errors import UsageError

    reports = Reports.take(options)
    # Not `in (None, False, ())`: a limit of 0 equals False, and is to be refused rather than forgotten.
    given = {key: value for key, value in options.items() if value is not None and value is not False and value != ()}
    criteria = ("reference", "rtol", "atol", "max_disagreement", "task")
    timed: dict[str, Any] = {key: given.pop(key) for key in ("margin", "budget") if key in given}
    if timed and not bench:
        raise UsageError(f"--{next(iter(timed))} says how to time: add --bench, or leave it out")
    thresholds = {key: given.pop(key) for key in criteria if key in given}
    if from_run is not None:
        if given or bench:
            raise UsageError(
                f"--from takes no --{next(iter(given), 'bench').replace('_', '-')}: a stored run is only judged anew"
            )
        import deltann

        result = deltann.load(from_run, **thresholds)
    else:
        for needed in ("model", "backends"):
            if needed not in given:
                raise UsageError(f"--{needed} is missing: deltann compare --model FILE.onnx --backends torch,ort")
        result = _run(given, thresholds, timed if bench else None, reports)
    from deltann.report.contents import with_times
    from deltann.timing.stored import timing

    sys.exit(show(with_times(result, timing(result.run, result=result)), reports))


def _run(
    given: dict[str, Any], thresholds: Mapping[str, Any], timed: Mapping[str, Any] | None, reports: Reports
) -> Result:
    """The comparison asked for, and its environments timed where `timed` says how."""
    from deltann.environment import parse_all
    from deltann.runner.spare import spare_workers

    models = [given[key] for key in ("model", "against") if key in given]
    cells = [environment for environment in parse_all(given["backends"]) for _ in models]
    limits: dict[str, Any] = {key: given[key] for key in ("timeout", "memory_limit") if key in given}
    with spare_workers(cells):  # before all other imports here, which take as long as theirs
        import deltann
        from deltann.report.progress import progress

        if timed is not None:
            from deltann.timing.options import Options

            Options.of(**timed)  # refused before anything runs
        reports.check_models(*models)
        model, backends = given.pop("model"), given.pop("backends")
        with progress() as listener:
            result = deltann.compare(model, backends, **given, **thresholds, listener=listener)
    if timed is None:
        return result
    with progress() as listener:
        return _time(result, {**timed, "reference": thresholds.get("reference")}, limits, listener)


def _time(result: Result, options: dict[str, Any], limits: dict[str, Any], listener: Listener) -> Result:
    """Time the environments of a finished comparison, in its folder; the result, whose run says so."""
    from dataclasses import replace

    from deltann.runner.cell import Limits
    from deltann.timing.measure import bench
    from deltann.timing.options import Options

    return replace(result, run=bench(result.run, Options.of(**options), Limits.of(**limits), listener))
