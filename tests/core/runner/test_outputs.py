"""Outputs on disk: what is stored, and what a successor finds."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from deltann.errors import Unsupported
from deltann.runner.outputs import OutputWriter, create_array, read_outputs, read_times

Arrays = dict[str, npt.NDArray[Any]]


def _outputs(run: int, rows: int, row_shape: tuple[int, ...]) -> Arrays:
    """What a run returns: one output by row, one that is a summary of the run."""
    rng = np.random.default_rng(run)
    return {
        "z/rows": rng.standard_normal((rows, *row_shape)).astype(np.float32),
        "a:summary": rng.integers(0, 100, (rows + 1, 2)),
    }


@settings(max_examples=60, deadline=None)
@given(
    samples=st.integers(1, 9),
    rows=st.integers(1, 4),
    batched=st.booleans(),
    row_shape=array_shapes(min_dims=0, max_dims=2, max_side=3) | st.just(()),
    deaths=st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=4),
)
def test_resuming_after_any_kill_computes_nothing_twice_and_gives_the_same_bytes(
    samples: int, rows: int, batched: bool, row_shape: tuple[int, ...], deaths: list[tuple[int, bool]]
) -> None:
    """A death is (after how many further runs, in the middle of storing the next one)."""
    rows = rows if batched else 1
    runs = -(-samples // rows)
    with tempfile.TemporaryDirectory() as folder:
        at_once = OutputWriter(Path(folder) / "once", samples, rows, batched)
        for run in range(runs):
            at_once.write(run, _outputs(run, rows, row_shape), 1.0 + run)

        finished: list[int] = []
        for survives, torn in [*deaths, (runs, False)]:
            writer = OutputWriter(Path(folder) / "killed", samples, rows, batched)
            for run in range(writer.next_run, runs)[:survives]:
                writer.write(run, _outputs(run, rows, row_shape), 1.0 + run)
                finished.append(run)
            if torn and writer.next_run < runs:
                # The outputs are stored, the time, which counts a run as done, is not.
                run = writer.next_run
                writer.write(run, _outputs(run, rows, row_shape), float("nan"))
        assert finished == list(range(runs))
        for name in ("once", "killed"):
            assert list(read_times(Path(folder) / name)) == [1.0 + run for run in range(runs)]
        once, killed = (read_outputs(Path(folder) / name) for name in ("once", "killed"))
        assert list(once) == list(killed) == ["z/rows", "a:summary"]
        for name, array in once.items():
            assert array.dtype == killed[name].dtype
            assert array.tobytes() == killed[name].tobytes()


def test_rows_are_samples_and_all_else_is_a_run_s(tmp_path: Path) -> None:
    writer = OutputWriter(tmp_path, samples=5, rows=2, batched=True)
    expected = [_outputs(run, 2, (3,)) for run in range(3)]
    for run, outputs in enumerate(expected):
        writer.write(run, outputs, 0.1)
    stored = read_outputs(tmp_path)
    np.testing.assert_array_equal(stored["z/rows"], np.concatenate([o["z/rows"] for o in expected])[:5])
    np.testing.assert_array_equal(stored["a:summary"], np.stack([o["a:summary"] for o in expected]))


def test_whole_sets_are_stacked_even_where_a_dimension_is_one(tmp_path: Path) -> None:
    writer = OutputWriter(tmp_path, samples=3, rows=1, batched=False)
    for run in range(3):
        writer.write(run, {"y": np.full((1, 2), run), "scalar": np.asarray(run)}, 0.1)
    stored = read_outputs(tmp_path)
    assert stored["y"].shape == (3, 1, 2)
    assert stored["scalar"].tolist() == [0, 1, 2]


def test_what_is_stored_is_read_only(tmp_path: Path) -> None:
    OutputWriter(tmp_path, 1, 1, True).write(0, {"y": np.ones((1, 2))}, 0.1)
    with pytest.raises(ValueError, match="read-only"):
        read_outputs(tmp_path)["y"][0] = 0


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ({"y": np.ones((2, 4), np.float32)}, r"output 'y' changed between runs from float32\[3\] to float32\[2, 4\]"),
        ({"y": np.ones((1, 3), np.float32)}, "depends on the data"),
        ({"y": np.ones((3, 3), np.float32)}, "depends on the data"),
        ({"y": np.ones((2, 3), np.float64)}, "float64"),
        ({"y": np.ones((2, 3), np.float32), "extra": np.ones(2)}, r"\['extra', 'y'\], run 0 \['y'\]"),
        ({}, r"run 1 returned the outputs \[\]"),
        ({"x": np.ones((2, 3), np.float32)}, r"\['x'\]"),
    ],
)
def test_outputs_that_change_between_runs_are_refused(second: Arrays, told: str, tmp_path: Path) -> None:
    writer = OutputWriter(tmp_path, samples=4, rows=2, batched=True)
    writer.write(0, {"y": np.ones((2, 3), np.float32)}, 0.1)
    with pytest.raises(Unsupported, match=told):
        writer.write(1, second, 0.1)
    assert writer.next_run == 1


@pytest.mark.parametrize("value", [np.array([["a", None]], object), np.array(["text"], object)])
def test_objects_are_refused(value: npt.NDArray[Any], tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="'y' holds object, which"):
        OutputWriter(tmp_path, 1, 1, True).write(0, {"y": value}, 0.1)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    OutputWriter(tmp_path, 1, 1, True).write(0, {"y": np.ones((1, 2))}, 0.1)
    np.save(tmp_path / "0.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(ValueError):
        read_outputs(tmp_path)
    np.save(tmp_path / "times.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(ValueError):
        read_times(tmp_path)


def test_space_is_reserved_and_not_just_promised(tmp_path: Path) -> None:
    create_array(tmp_path / "a.npy", np.dtype(np.float32), (1 << 20,))
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= 4 << 20


def test_an_output_without_elements(tmp_path: Path) -> None:
    writer = OutputWriter(tmp_path, 2, 1, True)
    for run in range(2):
        writer.write(run, {"y": np.ones((1, 0, 4), np.float32)}, 0.1)
    assert read_outputs(tmp_path)["y"].shape == (2, 0, 4)


def test_bfloat16_is_refused_since_npy_cannot_hold_it(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="bfloat16"):
        OutputWriter(tmp_path, 2, 1, True).write(0, {"y": np.ones((1, 3), ml_dtypes.bfloat16)}, 0.1)


@pytest.mark.parametrize("file", ["../elsewhere.npy", "/0.npy", "..", "times.npy", "0.npy/../0.npy"])
def test_an_index_leads_nowhere_else(file: str, tmp_path: Path) -> None:
    np.save(tmp_path / "elsewhere.npy", np.zeros((2, 2)))
    folder = tmp_path / "cell"
    OutputWriter(folder, 2, 1, True).write(0, {"y": np.ones((1, 2))}, 0.1)
    (folder / "outputs.json").write_text(json.dumps({"y": file}))
    with pytest.raises(ValueError, match="names a file that deltann does not write"):
        read_outputs(folder)
    with pytest.raises(ValueError, match="names a file that deltann does not write"):
        OutputWriter(folder, 2, 1, True)
