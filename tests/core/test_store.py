"""A run on disk: whole or not at all, and found again."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from deltann.errors import UsageError
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.store import (
    Cell,
    CellRecord,
    Run,
    RunStatus,
    check_writable,
    create_run,
    locked,
    open_run,
    write_json,
    write_table,
)
from deltann.testing.stored import write_run


def test_a_record_is_found_as_it_was_saved(tmp_path):
    record = CellRecord(
        Cell("ort:cuda[threads=1]", "against"),
        Outcome(Status.FAILED, Stage.COMPILE, Symptom.CRASH, "SIGSEGV", "log"),
        {"lower_s": 1.5},
    )
    run = Run(tmp_path, {})
    run.save_record(record)
    assert run.record(record.cell) == record


def test_what_has_no_record_has_not_run(tmp_path):
    assert Run(tmp_path, {}).record(Cell("ort")).outcome.status is Status.NOT_RUN


def test_cells_have_folders_of_their_own():
    cells = [Cell("ort"), Cell("ort", "against"), Cell("ort:cuda"), Cell("ort[threads=1]"), Cell("ort@1.20.1")]
    assert len({cell.folder for cell in cells}) == len(cells)
    assert not any(".." in cell.folder or cell.folder.startswith("/") for cell in cells)


def test_a_status_is_on_disk_at_once(tmp_path):
    run = write_run(tmp_path / "run", {"ort": Outcome(Status.UNSUPPORTED)})
    assert run.with_status(RunStatus.INTERRUPTED).status is open_run(run.folder).status is RunStatus.INTERRUPTED


def test_a_reader_never_sees_half_a_file(tmp_path, monkeypatch):
    write_json(tmp_path / "x.json", {"old": 1})

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.replace", die)
    with pytest.raises(KeyboardInterrupt):
        write_json(tmp_path / "x.json", {"new": list(range(1000))})
    with pytest.raises(KeyboardInterrupt):
        write_table(tmp_path / "x.parquet", [pa.table({"a": [1]})])
    assert json.loads((tmp_path / "x.json").read_text()) == {"old": 1}
    assert not (tmp_path / "x.parquet").exists()


def test_numbers_that_json_lacks_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"nan": float("nan")})
    assert not (tmp_path / "x.json").exists()


def test_tables_are_found_as_they_were_written(tmp_path):
    table = pa.table({"a": [1, 2]})
    write_table(tmp_path / "x.parquet", [table[:1], table[1:]])
    assert parquet.read_table(tmp_path / "x.parquet") == table


@pytest.fixture
def unfinished(tmp_path):
    """A run that did not end."""
    return write_run(tmp_path / "run", {"ort": Outcome(Status.UNSUPPORTED)}).with_status(RunStatus.RUNNING)


def test_the_same_request_goes_on_with_its_own_criteria(unfinished):
    criteria = {"reference": None, "rtol": ["0"], "atol": [], "max_disagreement": None}
    again = create_run(unfinished.folder, {**unfinished.document, "criteria": criteria})
    assert again.document["criteria"] == open_run(unfinished.folder).document["criteria"] == criteria
    assert again.document["created"] == unfinished.document["created"]
    assert again.record(Cell("ort")).outcome.status is Status.UNSUPPORTED


@pytest.mark.parametrize(
    ("part", "value", "named"),
    [
        ("cells", [{"environment": "torch", "role": "model"}], "backends"),
        ("rows", {"model": 2}, "rows"),
        ("labels", {"values": [1], "offset": None}, "labels"),
        ("versions", {"ort": "2"}, "versions"),
    ],
)
def test_another_request_does_not(unfinished, part, value, named):
    with pytest.raises(UsageError, match=f"of another {named}"):
        create_run(unfinished.folder, {**unfinished.document, part: value})


@pytest.mark.parametrize("where", ["outside", "inside"])
def test_nothing_is_written_through_a_link_out_of_the_run(unfinished, tmp_path, where):
    kept = (tmp_path if where == "outside" else unfinished.folder) / "kept"
    (unfinished.folder / "cells").rename(kept)
    (unfinished.folder / "cells").symlink_to(kept)
    if where == "inside":
        assert create_run(unfinished.folder, unfinished.document).status is RunStatus.RUNNING
        return
    for write in (check_writable, lambda folder: create_run(folder, unfinished.document)):
        with pytest.raises(UsageError, match="cells leads out of the run: refused; choose another --out"):
            write(unfinished.folder)


def test_a_finished_run_is_left_alone(tmp_path):
    run = write_run(tmp_path / "run", {"ort": Outcome(Status.UNSUPPORTED)})
    with pytest.raises(UsageError, match="finished run"):
        check_writable(run.folder)


def test_an_unfinished_run_and_an_empty_or_new_folder_are_taken(unfinished, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (unfinished.folder, tmp_path / "empty", tmp_path / "new" / "deep"):
        check_writable(folder)


def test_a_relative_folder_is_looked_for_where_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    check_writable(type(tmp_path)("new"))
    with pytest.raises(UsageError, match="no folder you may write to"):
        check_writable(type(tmp_path)("file/new"))


def test_a_folder_that_takes_nothing_is_a_usage_error(tmp_path, unfinished, monkeypatch):
    def full(*_, **__):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(UsageError, match="No space left"):
        create_run(tmp_path / "other", unfinished.document)


def test_a_run_that_another_process_writes_to_is_left_alone(unfinished):
    script = (
        "import sys; from pathlib import Path; from deltann.store import locked\n"
        "with locked(Path(sys.argv[1])): print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(unfinished.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(UsageError, match="another deltann is writing to"), locked(unfinished.folder):
            pass
        with pytest.raises(UsageError, match="another deltann is writing to"):
            check_writable(unfinished.folder)
        other.kill()
        other.wait()
        with locked(unfinished.folder):
            assert create_run(unfinished.folder, unfinished.document).status is RunStatus.RUNNING
    check_writable(unfinished.folder)


def test_a_run_that_another_process_finished_meanwhile_is_left_alone(unfinished):
    check_writable(unfinished.folder)
    unfinished.with_status(RunStatus.COMPLETE)
    with locked(unfinished.folder), pytest.raises(UsageError, match="finished run"):
        create_run(unfinished.folder, unfinished.document)


def test_a_lock_left_in_an_empty_folder_is_no_content(tmp_path):
    with locked(tmp_path / "new" / "run"):
        pass
    check_writable(tmp_path / "new" / "run")


def test_a_role_is_no_path():
    with pytest.raises(ValueError, match="no role"):
        Cell("ort", "../../elsewhere")


def _changed(document, path, value):
    *parents, last = path.split(".")
    for key in parents:
        document = document[key]
    document[last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("criteria.unknown", 1),
        ("criteria.rtol", 1),
        ("criteria.reference", 1),
        ("rows", {}),
        ("rows.model", 0),
        ("labels", {"values": [1]}),
        ("labels", {"values": [1, 2], "offset": None}),
        ("labels", {"values": ["1"], "offset": None}),
        ("inputs.notes", None),
        ("inputs.names", [1]),
        ("inputs.pipeline", {}),
        ("inputs.skipped", None),
        ("inputs.skipped", ["x"]),
        ("models", {}),
        ("cells", []),
        ("cells", [{"environment": "ort", "role": "../.."}]),
        ("cells", [{"environment": "ort", "role": "against"}]),
        ("cells", [{"environment": "../ort", "role": "model"}]),
        ("map_outputs", None),
        ("status", "done"),
        ("timed", "yes"),
    ],
)
def test_a_document_that_is_not_what_it_should_be_is_damaged(tmp_path, path, value):
    run = write_run(tmp_path / "run", {"ort": Outcome(Status.UNSUPPORTED)})
    document = json.loads((run.folder / "run.json").read_text())
    _changed(document, path, value)
    write_json(run.folder / "run.json", document)
    with pytest.raises(UsageError, match=r"run\.json: damaged"):
        open_run(run.folder)


@pytest.mark.parametrize("part", ["notes", "skipped", "names", "pipeline"])
def test_a_document_that_lacks_a_part_is_damaged(tmp_path, part):
    run = write_run(tmp_path / "run", {"ort": Outcome(Status.UNSUPPORTED)})
    document = json.loads((run.folder / "run.json").read_text())
    del document["inputs"][part]
    write_json(run.folder / "run.json", document)
    with pytest.raises(UsageError, match=r"run\.json: damaged"):
        open_run(run.folder)


@pytest.mark.parametrize("name", ["0.npy", "times.npy"])
def test_outputs_of_fewer_samples_are_damaged(tmp_path, name):
    outputs = {"y": np.random.default_rng(1).standard_normal((64, 3))}
    run = write_run(tmp_path / "run", {"ort": outputs})
    assert len(run.outputs(Cell("ort"))["y"]) == 64
    file = run.outputs_folder(Cell("ort")) / name
    np.save(file, np.load(file)[:2])
    with pytest.raises(UsageError, match="missing or damaged"):
        run.outputs(Cell("ort"))


def test_outputs_of_a_run_that_was_not_done_are_damaged(tmp_path):
    run = write_run(tmp_path / "run", {"ort": {"y": np.ones((4, 3))}})
    np.save(run.outputs_folder(Cell("ort")) / "times.npy", [0.1, 0.1, np.nan, 0.1])
    with pytest.raises(UsageError, match="3 of 4 runs"):
        run.outputs(Cell("ort"))


def test_a_summary_of_each_run_has_a_row_a_run(tmp_path):
    run = write_run(tmp_path / "run", {"ort": {"y": np.ones((4, 3))}})
    run = Run(run.folder, {**run.document, "rows": {"model": 2}})
    folder = run.outputs_folder(Cell("ort"))
    np.save(folder / "times.npy", [0.1, 0.1])
    np.save(folder / "0.npy", np.ones((2, 5)))
    assert run.outputs(Cell("ort"))["y"].shape == (2, 5)
