"""The tables of a result."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import deltann
from deltann.frames import cell_table, sample_tables
from deltann.outcome import Outcome, Stage, Status, Symptom
from deltann.store import write_table
from deltann.testing.stored import write_run

RNG = np.random.default_rng(12)
SCORES = RNG.standard_normal((9, 5)).astype(np.float32)
COUNTS = RNG.integers(0, 9, (9, 3))
CRASH = Outcome(Status.FAILED, Stage.RUN, Symptom.CRASH, "SIGSEGV while RUN")


@pytest.fixture
def result(tmp_path):
    """Two cells of two outputs (one of them scores) and one that failed; the first sample has no label."""
    flipped = SCORES.copy()
    flipped[2] = np.roll(SCORES[2], 1)
    cells = {"ort": {"y": SCORES, "n": COUNTS}, "torch": {"y": flipped, "n": COUNTS}, "tvm": CRASH}
    labels = [None, *SCORES.argmax(axis=1).tolist()[1:]]
    names = [f"photo {number} \udcff.jpg" for number in range(9)]
    actual = {"precision": "bfloat16"}
    facts = {"ort": {"artifact": "12", "lower_s": 0.5, "load_s": 0.25, "artifact_cached": True, "actual": actual}}
    return deltann.load(write_run(tmp_path / "run", cells, labels=labels, names=names, facts=facts))


def test_cells_have_a_row_each(result):
    frame = result.cells.set_index("cell")
    assert list(frame.index) == ["ort", "torch", "tvm"]
    assert frame.loc["tvm", ["status", "stage", "symptom", "reason"]].tolist() == [
        "FAILED", "RUN", "CRASH", "SIGSEGV while RUN",
    ]  # fmt: skip
    assert frame.loc["ort", ["artifact", "lower_s", "load_s", "artifact_cached"]].tolist() == ["12", 0.5, 0.25, True]
    assert frame.loc["ort", "accuracy"] == {"y": 1.0}
    assert frame.loc["ort", "actual"] == {"precision": "bfloat16"}
    assert frame.loc["torch", "accuracy"] == {"y": 7 / 8}
    assert frame.loc["ort", "median_ms"] == pytest.approx(1.0)
    assert np.isnan(frame.loc["tvm", "median_ms"])


def test_pairs_have_a_row_for_each_output(result):
    frame = result.pairs
    assert len(frame) == 2 + 1 + 1, "two outputs of one pair; two pairs with nothing to compare"
    both = frame[frame.candidate == "torch"].set_index("output")
    assert both.loc["y", "top1_disagreements"] == 1
    assert both.loc["y", "top1_rate"] == pytest.approx(1 / 9)
    assert both.loc["y", "top1_low"] < 1 / 9 < both.loc["y", "top1_high"]
    assert both.loc["y", "max_abs"] == pytest.approx(np.abs(SCORES[2] - np.roll(SCORES[2], 1)).max())
    assert both.loc["n", "max_abs"] == 0
    assert np.isnan(both.loc["n", "top1_rate"])
    assert both.verdict.tolist() == ["DIFFER", "DIFFER"]
    none = frame[frame.candidate == "tvm"]
    assert none.output.isna().all()
    assert none.verdict.tolist() == ["NOT_COMPARED"] * 2


def test_samples_have_a_row_for_each_cell_and_output_of_scores(result):
    frame = result.samples
    assert len(frame) == 2 * 9
    assert set(frame.columns) == {"cell", "output", "index", "sample", "label", "prediction", "score", "margin"}
    ort = frame[frame.cell == "ort"]
    assert ort.prediction.tolist() == SCORES.argmax(axis=1).tolist()
    assert ort.score.tolist() == SCORES.max(axis=1).tolist()
    top = np.sort(SCORES.astype(np.float64), axis=1)
    assert ort.margin.tolist() == (top[:, -1] - top[:, -2]).tolist()
    assert ort.label.isna().tolist() == [True] + [False] * 8
    assert (frame.output == "y").all()


def test_names_that_are_no_text_can_be_stored_all_the_same(result, tmp_path):
    write_table(tmp_path / "samples.parquet", sample_tables(result.run, result.records))
    stored = parquet.read_table(tmp_path / "samples.parquet").to_pandas()
    assert stored["sample"][0] == r"photo 0 \udcff.jpg"


def test_the_table_of_cells_keeps_its_types_where_nothing_is_known(tmp_path):
    run = write_run(tmp_path / "run", {"ort": CRASH, "torch": CRASH})
    table = cell_table(deltann.load(run))
    assert [str(table.schema.field(name).type) for name in ("median_ms", "reason", "artifact_cached")] == [
        "double", "string", "bool",
    ]  # fmt: skip


def test_no_cell_with_scores_gives_an_empty_table(tmp_path):
    run = write_run(tmp_path / "run", {"ort": CRASH, "torch": CRASH})
    assert deltann.load(run).samples.empty


def test_many_samples_come_in_pieces_that_make_one_table(result, monkeypatch):
    monkeypatch.setattr("deltann.frames._PIECE_ROWS", 4)
    pieces = list(sample_tables(result.run, result.records))
    assert [len(piece) for piece in pieces] == [0, 4, 4, 1, 4, 4, 1]
    monkeypatch.undo()
    assert pa.concat_tables(pieces).to_pandas().equals(result.samples)
