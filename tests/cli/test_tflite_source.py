"""A `.tflite` file as the model, beside the ONNX file that it is said to come from."""

from __future__ import annotations

from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
TFLITE, ONNX = DATA / "models/mobilenet_v2_int8.tflite", DATA / "models/mobilenet_v2.onnx"
pytestmark = pytest.mark.skipif(not TFLITE.is_file(), reason="needs a trained .tflite file, which is not here")


@pytest.fixture
def compare(cli, tmp_path):
    """Both files under `backends`, on twelve photographs."""
    for module in ("ai_edge_litert", "tensorflow", "onnxruntime", "tflite"):
        pytest.importorskip(module)
    images, labels = DATA / "images/nips17_256_png", DATA / "images/nips17_256_labels.csv"

    def invoke(*more, model=TFLITE, backends="tflite,ort"):
        return cli("compare", "--model", model, "--backends", backends, "--inputs", images, "--limit", "12",
                   "--preprocess", "tf-squash", "--labels", labels, "--out", tmp_path / "run", *more)  # fmt: skip

    return invoke


def test_each_file_runs_where_it_can_be_read_and_all_meet(compare):
    done = compare("--against", ONNX, "--map-outputs", "Identity[1:]=logits", "--json", "-")
    assert [cell["cell"] for cell in done.json["cells"]] == ["tflite", "against:tflite", "against:ort"]
    assert [cell["status"] for cell in done.json["cells"]] == ["OK"] * 3
    pairs = {(pair["candidate"], pair["reference"]): pair for pair in done.json["pairs"]}
    assert pairs.keys() == {("against:tflite", "tflite"), ("against:ort", "tflite")}
    for cell in done.json["cells"]:
        assert cell["accuracy"]["logits" if cell["role"] == "against" else "Identity"] > 0.5, "rows are off by one"
    assert done.json["cells"][0]["actual"]["precision"].startswith("int8")
    for pair in pairs.values():
        (output,) = pair["comparison"]["outputs"]
        assert output["classification"]["disagreements"] <= 4


def test_the_background_class_is_declared_and_never_guessed(compare):
    assert "1001 outputs" in compare("--against", ONNX, "--map-outputs", "Identity=logits").error


def test_a_backend_that_reads_none_of_the_files_is_a_usage_error(compare):
    assert compare(backends="tflite,ort").error == "ort reads no tflite files: leave it out, or give an .onnx file too"


def test_a_model_that_no_backend_reads_names_those_that_do(compare):
    told = compare("--against", ONNX, backends="ort,torch").error
    assert told == f"--model {TFLITE.name} is read by none of these; add one of: tflite"
