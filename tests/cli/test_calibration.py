"""Environments that are quantised after samples get the first ones of the run's own inputs."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest


@pytest.fixture
def written(tmp_path, monkeypatch):
    """What the recorder wrote down: by environment, the digests of what it was fed in order."""
    log = tmp_path / "log"
    monkeypatch.setenv("RECORDER_LOG", str(log))

    def read() -> dict[str, list[str]]:
        found = defaultdict(list)
        for line in log.read_text().splitlines():
            entry = json.loads(line)
            found[entry["environment"]].append(json.dumps(entry["inputs"], sort_keys=True))
        log.unlink()
        return dict(found)

    return read


def _compare(cli, models, out: Path, inputs="random:5,seed=31", calibrated="recorder-calibrated"):
    return cli("compare", "--model", models / "classifier.onnx", "--backends", f"recorder,{calibrated}",
               "--inputs", inputs, "--out", out)  # fmt: skip


def test_they_are_the_first_samples_that_all_are_fed(cli, models, tmp_path, written):
    assert _compare(cli, models, tmp_path / "run").code == 0
    found = written()
    assert len(found["recorder"]) == 5
    assert len(set(found["recorder"])) == 5
    assert found["recorder-calibrated"] == found["recorder"]
    assert found["calibration of recorder-calibrated"] == found["recorder"][:3]


def test_the_same_samples_are_not_looked_at_twice_and_others_are(cli, models, tmp_path, written):
    inputs = "random:5,seed=32"
    for folder, again in (("first", True), ("second", False)):
        assert _compare(cli, models, tmp_path / folder, inputs).code == 0
        assert ("calibration of recorder-calibrated" in written()) is again
    assert _compare(cli, models, tmp_path / "more", "random:5,seed=33").code == 0
    assert "calibration of recorder-calibrated" in written()


def test_too_few_samples_are_refused_before_anything_runs(cli, models, tmp_path):
    done = _compare(cli, models, tmp_path / "run", "random:2")
    assert done.error == (
        "recorder-calibrated is calibrated on 3 samples, and the inputs have 2: give more, or write "
        "recorder-calibrated[samples=2]"
    )
    assert not (tmp_path / "run" / "run.json").exists()


def test_what_the_refusal_says_works(cli, models, tmp_path, written):
    calibrated = "recorder-calibrated[samples=2]"
    assert _compare(cli, models, tmp_path / "run", "random:2", calibrated).code == 0
    assert len(written()[f"calibration of {calibrated}"]) == 2
