"""A run on disk: whole or not at all, and found again."""

from __future__ import annotations

import json
import os

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
        write_table(tmp_path / "x.parquet", pa.table({"a": [1]}))
    assert json.loads((tmp_path / "x.json").read_text()) == {"old": 1}
    assert not (tmp_path / "x.parquet").exists()


def test_numbers_that_json_lacks_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"nan": float("nan")})
    assert not (tmp_path / "x.json").exists()


def test_tables_are_found_as_they_were_written(tmp_path):
    table = pa.table({"a": [1, 2]})
    write_table(tmp_path / "x.parquet", table)
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
