"""A cell from beginning to end: whatever happens to it is stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deltann.outcome import Stage, Status, Symptom
from deltann.runner.cell import Limits, Work, begin, run_cell
from deltann.runner.deadlines import parse_deadlines
from deltann.store import Cell, CellRecord, Run, create_run, open_run
from deltann.testing.faulty import ENTRY
from deltann.testing.job import Job
from deltann.testing.registration import registered

_ADAPTERS = """
from importlib.metadata import PackageNotFoundError
from deltann.testing.faulty import FaultyBackend

class Missing(FaultyBackend):
    install = "deltann[missing]"
    distribution = "no-such-framework"

    def version(self):
        raise PackageNotFoundError("missing")
"""
_SPECS = (
    "faulty", "faulty[stage=COMPILE,symptom=CRASH]", "faulty[status=UNSUPPORTED]", "faulty[at=2,symptom=EXCEPTION]",
    "missing", "broken",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "adapters_of_cell_test.py").write_text(_ADAPTERS)
    monkeypatch.syspath_prepend(tmp_path)
    with registered(faulty=ENTRY, missing="adapters_of_cell_test:Missing", broken="no_such_module:X"):
        yield


@pytest.fixture
def run(job: Job, tmp_path: Path) -> Run:
    document = {
        "models": {"model": job.model.to_json()},
        "cells": [{"environment": spec, "role": "model"} for spec in _SPECS],
        "inputs": {
            "source": "random:1",
            "digest": {"model": "0"},
            "pipeline": {"model": None},
            "skipped": [],
            "notes": [],
            "names": [str(i) for i in range(job.count)],
        },
        "versions": {},
        "labels": None,
        "rows": {"model": job.tiny.rows},
        "deltann": "0",
        "map_outputs": {},
        "criteria": {},
        "host": {},
        "git": None,
    }
    return create_run(tmp_path / "run", document)


def _execute(spec: str, run: Run, job: Job, tmp_path: Path) -> CellRecord:
    assert job.tiny.rows is not None
    work = Work(job.model, job.files, job.count, job.tiny.rows, batched=True)
    told: list[tuple[str, int]] = []
    cell = Cell(spec)
    assert run.record(cell).outcome.status is Status.NOT_RUN
    timeouts = parse_deadlines(["120"])

    def notify(stage: str, done: int) -> None:
        told.append((stage, done))

    with begin(cell, job.model, tmp_path / "cache", tmp_path / "ahead.log", Limits(timeouts, 2**34), notify) as begun:
        record = run_cell(run, cell, work, timeouts, notify, begun, begun.ready.result())
    stored = open_run(run.folder).record(cell)
    assert (stored.outcome, dict(stored.facts)) == (record.outcome, dict(record.facts))
    assert bool(told) == (spec not in ("missing", "broken"))
    return record


def test_a_sound_cell_has_outputs_times_and_facts(run: Run, job: Job, tmp_path: Path) -> None:
    record = _execute("faulty", run, job, tmp_path)
    assert record.outcome.status is Status.OK
    assert record.facts["samples"] == 7
    outputs = run.outputs(record.cell)
    assert outputs.keys() == {"z_scores", "a_features"}
    for name, expected in job.expected.items():
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-5, atol=1e-6)
    times = run.times(record.cell)
    assert times.shape == (4,)
    assert np.all(times > 0)


def test_failures_and_refusals_are_stored_with_their_log(run: Run, job: Job, tmp_path: Path) -> None:
    crashed = _execute("faulty[stage=COMPILE,symptom=CRASH]", run, job, tmp_path)
    assert (crashed.outcome.status, crashed.outcome.stage, crashed.outcome.symptom, crashed.outcome.reason) == (
        Status.FAILED, Stage.COMPILE, Symptom.CRASH, "SIGSEGV while COMPILE",
    )  # fmt: skip
    assert "Segmentation fault" in run.log(crashed.cell).read_text()
    assert _execute("faulty[status=UNSUPPORTED]", run, job, tmp_path).outcome.status is Status.UNSUPPORTED
    broke_off = _execute("faulty[at=2,symptom=EXCEPTION]", run, job, tmp_path)
    assert (broke_off.outcome.status, broke_off.outcome.stage) == (Status.FAILED, Stage.RUN)
    assert np.isnan(run.times(broke_off.cell)).tolist() == [False, True, True, True]


def test_a_missing_framework_is_unavailable_and_a_broken_adapter_failed(run: Run, job: Job, tmp_path: Path) -> None:
    missing = _execute("missing", run, job, tmp_path).outcome
    assert (missing.status, missing.reason) == (Status.UNAVAILABLE, "pip install 'deltann[missing]'")
    broken = _execute("broken", run, job, tmp_path).outcome
    assert (broken.status, broken.stage, broken.symptom) == (Status.FAILED, Stage.LOAD, Symptom.EXCEPTION)
    assert "does not load" in broken.reason
