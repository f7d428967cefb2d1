"""`deltann.compare`, called from Python."""

from __future__ import annotations

import os

import numpy as np
import onnx
import pandas as pd
import pytest
from pyarrow import parquet

import deltann
from deltann import study
from deltann.errors import UsageError
from deltann.store import RunStatus, open_run
from deltann.testing.faulty import ENTRY
from deltann.testing.models import MODELS
from deltann.testing.registration import registered

BACKENDS = ["reference", "faulty"]


@pytest.fixture(scope="module", autouse=True)
def adapters(tmp_path_factory):
    """`faulty` is known, and the cache is one of this module's own."""
    with pytest.MonkeyPatch.context() as patch, registered(faulty=ENTRY):
        patch.setenv("DELTANN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Files of the tiny models asked for."""
    folder = tmp_path_factory.mktemp("models")

    def path(name):
        if not (folder / f"{name}.onnx").exists():
            onnx.save_model(MODELS[name]().proto, folder / f"{name}.onnx")
        return folder / f"{name}.onnx"

    return path


def test_arrays_in_labels_and_predictions_out(models, tmp_path):
    tiny = MODELS["classifier"]()
    samples = np.random.default_rng(13).standard_normal((7, 3, 2, 2)).astype(np.float32)
    right = tiny.expected({"x": samples})["y"].argmax(axis=1)
    (tmp_path / "labels.csv").write_text("\n".join(["label", *map(str, right)]))
    result = deltann.compare(
        models("classifier"), BACKENDS, inputs=samples, labels=tmp_path / "labels.csv", batch_size=3,
        out=tmp_path / "run",
    )  # fmt: skip
    assert (result.verdict, result.exit_code) == ("AGREE", 0)
    assert result.samples[result.samples.cell == "reference"].prediction.tolist() == right.tolist()
    assert [accuracy["y"] for accuracy in result.cells.accuracy] == [1.0, 1.0]
    assert result.pairs.top1_disagreements.tolist() == [0]
    stored = parquet.read_table(tmp_path / "run" / "samples.parquet").to_pandas()
    pd.testing.assert_frame_equal(stored, result.samples)
    again = deltann.load(tmp_path / "run")
    assert again.run == result.run
    assert (again.verdict, again.compared) == (result.verdict, result.compared)


def test_several_inputs_by_name(models, tmp_path):
    rng = np.random.default_rng(14)
    inputs = {"tokens": rng.integers(0, 7, (4, 3)), "dense": rng.standard_normal((4, 4)).astype(np.float32)}
    result = deltann.compare(models("mixed_inputs"), BACKENDS, inputs=inputs, out=tmp_path / "run")
    assert result.exit_code == 0
    assert result.pairs.output.tolist() == ["score", "best", "high"]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 8])
def test_outputs_do_not_depend_on_the_batch(models, tmp_path, batch_size):
    """Five samples: a remainder is filled up, and what it was filled with is not stored."""
    samples = np.random.default_rng(15).standard_normal((5, 3, 2, 2)).astype(np.float32)
    result = deltann.compare(
        models("classifier"), BACKENDS, inputs=samples, batch_size=batch_size, out=tmp_path / "run"
    )
    right = MODELS["classifier"]().expected({"x": samples})["y"]
    for cell in result.run.cells:
        outputs = result.run.outputs(cell)["y"]
        assert outputs.shape == (5, 10)
        np.testing.assert_allclose(outputs, right, rtol=1e-4, atol=1e-5)
        assert len(result.run.times(cell)) == -(-5 // batch_size)


@pytest.mark.parametrize("name", ["fixed_batch", "whole", "float16", "odd_names", "embedding", "two_outputs"])
def test_models_of_every_kind_agree_with_themselves(models, tmp_path, name):
    result = deltann.compare(models(name), BACKENDS, inputs="random:5", batch_size=2, out=tmp_path / "run")
    assert result.exit_code == 0, result.pairs
    declared = [spec.name for spec in result.run.models["model"].outputs]
    assert sorted(result.pairs.output) == sorted(declared)


def test_a_limit_takes_the_first(models, tmp_path):
    few = deltann.compare(models("classifier"), BACKENDS, inputs="random:9", limit=4, out=tmp_path / "few")
    assert few.run.sample_names == [f"random[{number}]" for number in range(4)]
    all_of_it = deltann.compare(models("classifier"), BACKENDS, inputs="random:9", out=tmp_path / "all")
    cell = few.run.cells[0]
    np.testing.assert_array_equal(few.run.outputs(cell)["y"], all_of_it.run.outputs(cell)["y"][:4])


def test_tolerances_for_one_output_leave_the_other_alone(models, tmp_path):
    wrong = "faulty[amount=0.001,stage=LOAD,symptom=MISMATCH]"
    result = deltann.compare(models("two_outputs"), ["reference", wrong], inputs="random:6", rtol=1e-4, atol=1e-5,
                             out=tmp_path / "run")  # fmt: skip
    assert result.verdict == "DIFFER"
    loose = deltann.load(tmp_path / "run", rtol=["1e-4", "z_scores=0.1"], atol=["1e-5", "z_scores=0.1"])
    (reason,) = loose.compared[0].judgement.reasons
    assert reason.startswith("output 'a_features': ")
    both = [f"{name}=0.1" for name in ("z_scores", "a_features")]
    assert deltann.load(tmp_path / "run", rtol=both).verdict == "AGREE"


def test_two_levels_that_lower_alike_are_told(models, tmp_path):
    pytest.importorskip("onnxruntime")
    result = deltann.compare(
        models("whole"), ["ort-O0", "ort-O1", "reference"], inputs="random:3", out=tmp_path / "run"
    )
    assert result.exit_code == 0
    assert [[str(cell) for cell in group] for group in result.identical] == [["ort-O0", "ort-O1"]]


def test_two_levels_that_lower_differently_are_not(models, tmp_path):
    pytest.importorskip("onnxruntime")
    result = deltann.compare(models("conv_bn_relu"), ["ort-O0", "ort-O2", "reference"], inputs="random:3",
                             out=tmp_path / "run")  # fmt: skip
    assert result.exit_code == 0
    assert result.identical == ()


def test_a_deadline_is_kept(models, tmp_path):
    result = deltann.compare(models("classifier"), [*BACKENDS, "faulty[stage=LOAD,symptom=TIMEOUT]"],
                             inputs="random:2", timeout=["LOAD=1.5"], out=tmp_path / "run")  # fmt: skip
    outcome = result.records[2].outcome
    assert (outcome.status, outcome.stage, outcome.symptom) == ("FAILED", "LOAD", "TIMEOUT")
    assert "1.5 s" in outcome.reason
    assert result.exit_code == 3


def test_the_listener_hears_what_is_at_work(models, tmp_path):
    heard = []
    deltann.compare(models("classifier"), BACKENDS, inputs="random:3", out=tmp_path / "run",
                    listener=lambda *event: heard.append(event))  # fmt: skip
    for cell in BACKENDS:
        assert (cell, "LOAD", 0, None) in heard, "how many samples there will be is not known yet"
        assert (cell, "OK", 3, 3) in heard


def test_ctrl_c_leaves_a_run_that_names_its_folder_and_goes_on(models, tmp_path):
    def stop(what, doing, _done, _total):
        if (what, doing) == ("faulty", "LOAD"):
            raise KeyboardInterrupt

    with pytest.raises(study.Interrupted, match="to go on, repeat") as stopped:
        deltann.compare(models("classifier"), BACKENDS, inputs="random:3", out=tmp_path / "run", listener=stop)
    assert stopped.value.folder == tmp_path / "run"
    assert open_run(tmp_path / "run").status is RunStatus.INTERRUPTED
    result = deltann.compare(models("classifier"), BACKENDS, inputs="random:3", out=tmp_path / "run")
    assert result.run.status is RunStatus.COMPLETE


@pytest.mark.parametrize("function", ["run_cells", "write_table"])
def test_a_disk_that_fills_up_is_a_usage_error_and_the_run_not_complete(models, tmp_path, monkeypatch, function):
    def full(*_):
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(study, function, full)
        with pytest.raises(UsageError, match="No space left on device; free some space"):
            deltann.compare(models("classifier"), BACKENDS, inputs="random:3", out=tmp_path / "run")
    assert open_run(tmp_path / "run").status is RunStatus.RUNNING
    assert deltann.compare(models("classifier"), BACKENDS, inputs="random:3", out=tmp_path / "run").exit_code == 0


def test_any_other_failure_of_ours_is_let_out(models, tmp_path, monkeypatch):
    def broken(*_):
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr(study, "write_table", broken)
    with pytest.raises(OSError, match="Input/output error"):
        deltann.compare(models("classifier"), BACKENDS, inputs="random:3", out=tmp_path / "run")


def test_without_out_runs_have_folders_of_their_own(models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = {deltann.compare(models("classifier"), BACKENDS, inputs="random:1").run.folder for _ in range(2)}
    assert len(folders) == 2
    assert all(folder.parts[0] == "runs" and "-classifier" in folder.name for folder in folders)
