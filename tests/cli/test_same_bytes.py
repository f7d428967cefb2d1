"""The promise under all comparisons: every environment is fed the same bytes, and the run says which."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def log(tmp_path, monkeypatch):
    """The file that the recorder writes; `fed(log)` reads it."""
    path = tmp_path / "recorder.log"
    monkeypatch.setenv("RECORDER_LOG", str(path))
    return path


def fed(log):
    """What each environment was fed, run by run: {environment: [{input: sha256}, …]}."""
    found = defaultdict(list)
    for line in log.read_text().splitlines():
        row = json.loads(line)
        found[row["environment"]].append(row["inputs"])
    return dict(found)


def digest(path):
    """The sha256 over the data of all samples, as the run states it."""
    return json.loads((path / "run.json").read_text())["inputs"]["digest"]["model"]


def test_random_samples_are_the_same_for_everyone(cli, models, tmp_path, log):
    done = cli("compare", "--model", models / "mixed_inputs.onnx", "--inputs", "random:5",
               "--backends", "recorder,recorder[tag=b],recorder[tag=c]", "--out", tmp_path / "run")  # fmt: skip
    assert done.code == 0, done.out
    first, *others = fed(log).values()
    assert len(first) == 5
    assert len({json.dumps(run) for run in first}) == 5, "the samples themselves differ"
    assert others == [first, first]


def test_the_digest_of_the_run_is_that_of_the_bytes_fed(cli, models, tmp_path, log):
    rng = np.random.default_rng(3)
    samples = rng.standard_normal((3, 3, 2, 2)).astype(np.float32)
    np.save(tmp_path / "samples.npy", samples)
    done = cli("compare", "--model", models / "classifier.onnx", "--inputs", tmp_path / "samples.npy",
               "--backends", "recorder,reference", "--out", tmp_path / "run")  # fmt: skip
    assert done.code == 0, done.out
    assert fed(log)["recorder"] == [{"x": hashlib.sha256(row.tobytes()).hexdigest()} for row in samples]
    assert digest(tmp_path / "run") == hashlib.sha256(samples.tobytes()).hexdigest()


def test_images_are_preprocessed_once(cli, models, tmp_path, log):
    rng = np.random.default_rng(4)
    (tmp_path / "images").mkdir()
    for number in range(3):
        Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8)).save(tmp_path / "images" / f"{number}.jpg")
    (tmp_path / "tiny.toml").write_text('[[steps]]\nstep = "resize"\nmode = "exact"\n')
    done = cli("compare", "--model", models / "classifier.onnx", "--inputs", tmp_path / "images",
               "--preprocess", tmp_path / "tiny.toml", "--backends", "recorder,recorder[tag=second]",
               "--out", tmp_path / "run")  # fmt: skip
    assert done.code in (0, 4), done.err
    runs = fed(log)
    assert len(runs["recorder"]) == 3
    assert runs["recorder"] == runs["recorder[tag=second]"]


def test_a_last_short_batch_is_filled_alike(cli, models, tmp_path, log):
    samples = np.random.default_rng(5).standard_normal((5, 3, 2, 2)).astype(np.float32)
    np.save(tmp_path / "samples.npy", samples)
    done = cli("compare", "--model", models / "classifier.onnx", "--inputs", tmp_path / "samples.npy",
               "--backends", "recorder,recorder[tag=second]", "--batch-size", 3, "--out", tmp_path / "run")  # fmt: skip
    assert done.code == 0, done.out
    batches = [samples[:3], samples[[3, 4, 4]]]
    wanted = [{"x": hashlib.sha256(np.ascontiguousarray(batch).tobytes()).hexdigest()} for batch in batches]
    assert fed(log) == {"recorder": wanted, "recorder[tag=second]": wanted}


def test_two_models_are_fed_the_same_samples(cli, models, tmp_path, log):
    done = cli("compare", "--model", models / "classifier.onnx", "--against", models / "classifier.onnx",
               "--inputs", "random:4", "--backends", "recorder", "--out", tmp_path / "run")  # fmt: skip
    assert done.code == 0, done.out
    runs = fed(log)["recorder"]
    assert len(runs) == 8
    assert runs[:4] == runs[4:]


def test_one_environment_that_spoils_its_inputs_spoils_them_for_itself_alone(cli, models, tmp_path, log):
    done = cli("compare", "--model", models / "classifier.onnx", "--inputs", "random:4,seed=77",
               "--backends", "faulty[mismatch=overwritten,symptom=MISMATCH],recorder,reference",
               "--reference", "reference", "--out", tmp_path / "run", "--json", "-")  # fmt: skip
    by_pair = {pair["candidate"]: pair["verdict"] for pair in done.json["pairs"] if pair["reference"] == "reference"}
    assert by_pair["recorder"] == "AGREE"
    assert len({json.dumps(run) for run in fed(log)["recorder"]}) == 4
