from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltann.runner.batches import Batches


@given(st.integers(1, 9), st.integers(1, 4), st.data())
def test_the_batches_are_the_first_samples_in_order(count, rows, data):
    samples = data.draw(st.integers(1, count))
    array = np.arange(count * 2, dtype=np.float32).reshape(count, 2)
    with TemporaryDirectory() as folder:
        np.save(Path(folder) / "x.npy", array)
        batches = Batches({"x": Path(folder) / "x.npy"}, samples, rows, batched=True)
        found = [batch["x"].copy() for batch in batches]
    assert len(found) == len(batches) == -(-samples // rows)
    assert all(batch.shape == (rows, 2) for batch in found)
    joined = np.concatenate(found)
    assert joined[:samples].tolist() == array[:samples].tolist()
    assert (joined[samples:] == array[samples - 1]).all(), "a short batch repeats the last sample it may use"


def test_a_model_of_fixed_batch_gets_its_rows_as_they_are(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(3, 1, 4)
    np.save(tmp_path / "x.npy", array)
    batches = Batches({"x": tmp_path / "x.npy"}, 3, 1, batched=False)
    assert [batch["x"].shape for batch in batches[1:]] == [(1, 4)] * 2
    assert batches[-1]["x"].tolist() == array[2].tolist()
    with pytest.raises(IndexError):
        batches[3]
