"""`deltann.compare`: from what a user asks for to a finished run, cell after cell."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import deltann.store as store
from deltann import registry
from deltann.accuracies import check_class_names, check_labels
from deltann.backend import formats
from deltann.cache import cache_dir
from deltann.criteria import Criteria
from deltann.dataset import ImageSource, Source, parse_source
from deltann.environment import Environment, parse_all
from deltann.errors import UsageError
from deltann.evidence.request import Kind, Request, parse_evidence
from deltann.feeding import bind_each, describe, materialise_each, shapes_of
from deltann.frames import cell_table, sample_tables
from deltann.host import git_revision, host
from deltann.labels import load_class_names, load_labels
from deltann.model import Model, load_model
from deltann.native import NATIVE
from deltann.native.exporting import Exported, export, is_path, keep, kept
from deltann.native.running import CELL as NATIVE_CELL
from deltann.native.running import run_native
from deltann.output_map import parse_output_map
from deltann.pairing import compare_pairs, contested
from deltann.pictures import MOST, keep_pictures
from deltann.preprocess import Pipeline, load_pipeline
from deltann.preprocess.steps import Decode
from deltann.report.samples import worth_seeing
from deltann.result import Result, candidate_outputs, check_criteria, evaluate
from deltann.runner.cell import Begun, Limits, Work, samples_needed
from deltann.runner.cells import Listener, ahead, run_cells
from deltann.runner.memory import DEFAULT as DEFAULT_MEMORY
from deltann.store import Cell, Run, RunStatus, write_table

DEFAULT_INPUTS = "random:64"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in the middle of a run; `folder` holds what was done, and the same request goes on there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"interrupted; to go on, repeat the command with --out {folder}")
        self.folder = folder


def compare(
    model: Any,
    backends: str | Iterable[str],
    *,
    inputs: Any = DEFAULT_INPUTS,
    against: str | Path | None = None,
    map_outputs: Mapping[str, str] | Sequence[str] = (),
    shape: Mapping[str, tuple[int, ...]] | Sequence[str] = (),
    preprocess: str | Path | Pipeline | None = None,
    labels: str | Path | None = None,
    label_offset: int | None = None,
    class_names: str | Path | None = None,
    limit: int | None = None,
    batch_size: int = 1,
    skip_bad_inputs: bool = False,
    reference: str | None = None,
    rtol: float | str | Sequence[str] = (),
    atol: float | str | Sequence[str] = (),
    max_disagreement: float | str | None = None,
    task: str | Sequence[str] = (),
    timeout: float | str | Sequence[str] = (),
    memory_limit: str = DEFAULT_MEMORY,
    evidence: str | Sequence[str] | None = None,
    evidence_samples: int | None = None,
    out: str | Path | None = None,
    listener: Listener = lambda _what, _doing, _done, _total: None,
) -> Result:
    """Run `model` under each environment on identical inputs, and compare what comes out.

    Args:
        model: an ONNX file, or a `.tflite` file (which `tflite` reads); or a torch.nn.Module, a Keras model, a
            tf.function or a callable on torch tensors, which is exported to ONNX and run beside the others as `native`.
        backends: specs such as `"torch,ort-O1"` or `["torch", "tvm-O3"]`.
        inputs: a folder of images, an .npz or .npy file, `random:N[,seed=…,dist=normal|uniform]`, one array
            [N, …] for a model of one input, or arrays by input name.
        against: a second file, compared with the first under each environment.
        map_outputs: `{old: new}` or `["old=new"]`: output `old` of `model` is matched with `new` of `against`;
            either may end in `[START:STOP]`, the classes that count.
        shape: `{input: (1, 3, 224, 224)}` or `["input=1x3x224x224"]`, for dynamic dimensions other than the batch, and
            for inputs of a model in memory that are no arrays.
        preprocess: a preset's name, a TOML file or a `Pipeline`; images need one.
        labels: a CSV file with the samples' true classes; class = label + `label_offset`.
        class_names: a file with the names of the model's classes, from class 0 on, for reports: a text file with a name
            a line, or JSON (a list, or `{"0": "name", …}`).
        limit: use the first so many samples.
        batch_size: samples a run, where the model's batch is dynamic.
        skip_bad_inputs: go on without images that cannot be read (they are named in the result).
        reference: the environment by which the others are judged; every pair is judged where None.
        rtol, atol: tolerances for all outputs or, as `"logits=1e-3"`, for one.
        max_disagreement: the share of samples whose top-1 may differ, such as `0.005` or `"0.5%"`.
        task: `"tensor"` or `"classification"` for all outputs or, as `"boxes=tensor"`, for one; inferred where absent.
        timeout: seconds for each stage, or `["COMPILE=1200"]` for one; RUN's is between two signs of progress.
        memory_limit: what one environment may take: a share of this machine's memory such as `"80%"`, or `"4GiB"`.
        evidence: what makes the verdict one to rely on, of `"arbiter,noise,power"`, or `"all"` (the default, unless
            the variable DELTANN_EVIDENCE says otherwise), or `"none"`.
        evidence_samples: on how many samples evidence is gathered (16), the arbiter's beside every flipped one.
        out: the run's folder; an unfinished run there that asked for the same goes on.
        listener: called with (what, doing, done, total) as the work goes on.

    Raises:
        UsageError: the request or its input is wrong; one line that says how to mend it.
        Interrupted: Ctrl-C.
    """
    environments = parse_all(backends)
    criteria = Criteria.of(reference, rtol, atol, max_disagreement, task)
    limits = Limits.of(timeout, memory_limit)
    wanted = parse_evidence(evidence, evidence_samples)
    for environment in environments:
        _check(environment)
    source = parse_source(inputs)
    exported = None if is_path(model) else export(model, source, shapes_of(shape), batch_size, cache_dir())
    models = {"model": load_model(model) if exported is None else exported.model}
    if against is not None:
        if not is_path(against):
            raise UsageError("`against` takes a file: export the second object first, or give it as the model")
        models["against"] = load_model(against)
    engines = tuple(_cells(environments, models))
    cells = engines if exported is None else (NATIVE_CELL, *engines)
    if len(cells) < 2:
        raise UsageError("one environment alone has nothing to agree with: name a second backend, or --against a model")
    mapped = parse_output_map(map_outputs, models)
    check_criteria(criteria, cells, candidate_outputs(models))
    called = None if class_names is None else load_class_names(Path(class_names))
    if called is not None:
        check_class_names(mapped.view("model", models["model"]), called)
    folder = Path(out) if out is not None else _new_folder(models["model"].name)
    store.check_writable(folder)

    pipeline = preprocess if isinstance(preprocess, Pipeline | None) else load_pipeline(preprocess)
    bindings = bind_each(models, shape, batch_size)
    first = () if (folder / "run.json").exists() else engines
    with ahead(first, {role: binding.model for role, binding in bindings.items()}, limits, listener) as begun:
        made = materialise_each(source, bindings, pipeline, limit, skip_bad_inputs, listener)
        for cell in engines:
            needed, there = samples_needed(cell, models[cell.role]), len(made[cell.role].names)
            if needed > there:
                raise UsageError(
                    f"{cell} is calibrated on {needed} samples, and the inputs have {there}: give more, or write "
                    f"{cell.environment.partition('[')[0]}[samples={there}]"
                )
        truth = None if labels is None else load_labels(Path(labels), made["model"].names).tolist()
        if truth is not None:
            check_labels(mapped.view("model", models["model"]), truth, label_offset)
        work = {
            role: Work(binding.model, made[role].arrays, len(made[role].names), binding.rows, binding.batched)
            for role, binding in bindings.items()
        }
        document = {
            "deltann": registry.own_version(),
            "models": {
                role: (binding.model if role != "model" or exported is None else kept(binding.model, folder)).to_json()
                for role, binding in bindings.items()
            },
            "cells": [{"environment": cell.environment, "role": cell.role} for cell in cells],
            "rows": {role: binding.rows for role, binding in bindings.items()},
            "inputs": describe(
                str(inputs) if isinstance(inputs, str | Path) else "arrays", made, exported.notes if exported else ()
            ),
            "labels": None if truth is None else {"values": truth, "offset": label_offset},
            "class_names": called,
            "map_outputs": dict(mapped.renames),
            "classes": {
                role: {name: list(kept) for name, kept in outputs.items()} for role, outputs in mapped.kept.items()
            },
            "criteria": criteria.to_json(),
            "evidence": wanted.to_json(),
            "versions": {
                **({} if exported is None else {NATIVE: exported.native.version}),
                **{name: registry.availability(name).version for name in sorted({e.backend for e in environments})},
            },
            "host": host(),
            "git": git_revision(),
        }
        with store.locked(folder):
            run = store.create_run(folder, document)
            return _execute(run, work, criteria, wanted, limits, listener, begun, (source, pipeline), exported)


def _execute(
    run: Run,
    work: Mapping[str, Work],
    criteria: Criteria,
    wanted: Request,
    limits: Limits,
    listener: Listener,
    begun: Mapping[Cell, Begun],
    samples: tuple[Source, Pipeline | None],
    exported: Exported | None,
) -> Result:
    repeated = wanted.samples if wanted.wants(Kind.NOISE) else 0
    try:
        if exported is not None:
            keep(exported.model, run.folder)
            for cell in begun.values():  # nothing else works while a cell is run
                cell.ready.result()
            run_native(run, exported, work["model"], repeated, listener)
        run_cells(run, work, limits, listener, begun, repeated)
        compared = compare_pairs(run, criteria)
        if wanted.wants(Kind.ARBITER) or wanted.wants(Kind.POWER):
            from deltann.evidence.gather import gather  # needless where none is asked for

            gather(run, work, wanted, contested(compared.pairs), limits, listener)
        result = evaluate(run, criteria, compared)
        _keep_pictures(result, *samples)
        write_table(run.folder / "outcomes.parquet", [cell_table(result)])
        write_table(run.folder / "samples.parquet", sample_tables(run, result.records, criteria.tasks))
        return replace(result, run=run.with_status(RunStatus.COMPLETE, store.TABLES))
    except KeyboardInterrupt:
        run.with_status(RunStatus.INTERRUPTED)
        raise Interrupted(run.folder) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UsageError(f"cannot write to {run.folder}: {error.strerror}; free some space, and repeat") from error


def _keep_pictures(result: Result, source: Source, pipeline: Pipeline | None) -> None:
    """Where samples are images, of those worth seeing."""
    if isinstance(source, ImageSource):
        exif = pipeline is not None and pipeline.find(Decode, Decode()).exif
        keep_pictures(result.run, source, worth_seeing(result, MOST), exif)


def _check(environment: Environment) -> None:
    if environment.backend == NATIVE:
        raise UsageError(
            f"'{environment}' is no backend: it is the model's own framework, and takes part by itself where the model "
            "is an object (a torch.nn.Module, say) in place of a path; leave it out"
        )
    try:
        registry.check(environment)
    except registry.BrokenBackend:
        # Installed and broken is a finding about that cell, told when its turn comes.
        return


def _cells(environments: Sequence[Environment], models: Mapping[str, Model]) -> Iterator[Cell]:
    """Each environment with each model that it reads.

    Raises:
        UsageError: an environment reads none of them, or a model is read by none.
    """
    formats = {environment: _formats(environment) for environment in environments}
    for environment in environments:
        roles = [role for role, model in models.items() if model.format in formats[environment]]
        if not roles:
            unread = " or ".join(sorted({model.format for model in models.values()}))
            raise UsageError(f"{environment} reads no {unread} files: leave it out, or give an .onnx file too")
        yield from (Cell(str(environment), role) for role in roles)
    for role, model in models.items():
        if not any(model.format in known for known in formats.values()):
            readers = [name for name in registry.names() if model.format in _formats(Environment(name))]
            raise UsageError(f"--{role} {model.name} is read by none of these; add one of: {', '.join(readers)}")


def _formats(environment: Environment) -> Sequence[str]:
    """The formats of models that its backend reads."""
    try:
        return formats(registry.get(environment.backend))
    except registry.BrokenBackend:
        return ("onnx",)


def _new_folder(model: str) -> Path:
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(model).stem)
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{stem}"
    taken = [Path("runs") / name, *(Path("runs") / f"{name}-{number}" for number in range(2, 100))]
    return next(folder for folder in taken if not folder.exists())
