"""What the user calls the classes: read from a file, checked against the model, kept in the run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import deltann
from deltann.accuracies import check_class_names
from deltann.errors import UsageError
from deltann.labels import load_class_names
from deltann.model import Model, TensorSpec
from deltann.store import open_run, write_json
from deltann.testing.faulty import ENTRY
from deltann.testing.models import MODELS
from deltann.testing.registration import registered
from deltann.testing.stored import write_run

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "images" / "imagenet_labels.txt"
TEN = [f"class {number}" for number in range(10)]


def write(folder: Path, text: str, name: str = "names.txt") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("names.txt", "tench\ngrüner Tee, <b>\ncrane\ncrane"),
        ("names.txt", "\ufefftench\r\n grüner Tee, <b> \r\ncrane\r\ncrane\r\n\r\n"),
        ("names.json", '["tench", "grüner Tee, <b>", "crane", "crane"]'),
        ("NAMES.JSON", '{"3": "crane", "0": "tench", "1": "grüner Tee, <b>", "2": "crane"}'),
    ],
)
def test_names_are_read_in_the_order_of_the_classes(tmp_path, name, text):
    assert load_class_names(write(tmp_path, text, name)) == ["tench", "grüner Tee, <b>", "crane", "crane"]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("names.txt", "", "holds no names"),
        ("names.txt", " \n\n", "holds no names"),
        ("names.txt", "a\n\nb\n", "class 1 has an empty name"),
        ("names.txt", "\na\n", "class 0 has an empty name"),
        ("names.json", "[]", "holds no names"),
        ("names.json", "{}", "holds no names"),
        ("names.json", '["a", " "]', "class 1 has an empty name"),
        ("names.json", '["a", 3]', r'write \["name of class 0", …\]'),
        ("names.json", '"abc"', "holds no names"),
        ("names.json", "null", "holds no names"),
        ("names.json", '{"0": "a", "2": "b"}', "has no class 1"),
        ("names.json", '{"00": "a"}', "has no class 0"),
        ("names.json", '{"0": ["n0", "tench"]}', "holds no names"),
        ("names.json", "[" * 100_000, "cannot be read"),
        ("names.json", "tench\ncrane", "cannot be read"),
    ],
)
def test_what_are_no_names_is_refused(tmp_path, name, text, says):
    with pytest.raises(UsageError, match=says) as error:
        load_class_names(write(tmp_path, text, name))
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no such file; give a text file"):
        load_class_names(tmp_path / "none.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UsageError, match="cannot be read"):
        load_class_names(tmp_path / "binary.txt")


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=9))
def test_json_brings_back_every_name(tmp_path_factory, names):
    folder = tmp_path_factory.getbasetemp()
    expected = [name.strip() for name in names]
    assert load_class_names(write(folder, json.dumps(names), "list.json")) == expected
    by_number = {str(number): name for number, name in enumerate(names)}
    assert load_class_names(write(folder, json.dumps(by_number), "object.json")) == expected


@pytest.mark.skipif(not REAL.is_file(), reason="the real labels (shared/data) are not here")
def test_the_names_of_imagenet():
    names = load_class_names(REAL)
    assert (len(names), names[0]) == (1000, "tench, Tinca tinca")


def model(*shapes, dtype="float32"):
    specs = tuple(TensorSpec(f"y{number}", dtype, shape) for number, shape in enumerate(shapes))
    return Model("m.onnx", Path("m.onnx"), "0" * 64, 17, (), specs)


def test_there_are_as_many_names_as_some_output_has_classes():
    check_class_names(model(("batch", 4, 7), ("batch", 10)), TEN)
    check_class_names(model(("batch", 10, 1, 1), ("batch", 4)), TEN)
    check_class_names(model(("batch", "classes")), TEN)
    check_class_names(model(("batch", 3, 5)), TEN)
    with pytest.raises(UsageError, match=r"has 10 names, and m\.onnx has 4 or 9 classes: give a name for each$"):
        check_class_names(model(("batch", 9), ("batch", 4)), TEN)
    with pytest.raises(UsageError, match=r"has 11 classes: give a name for each, the background \(class 0\) too$"):
        check_class_names(model(("batch", 11)), TEN)


def test_a_result_knows_the_name_of_a_class(tmp_path):
    rng = np.random.default_rng(61)
    cells = {name: {"y": rng.standard_normal((5, 10)), "four": rng.standard_normal((5, 4))} for name in ("ort", "tvm")}
    result = deltann.load(write_run(tmp_path / "named", cells, class_names=TEN))
    assert [result.class_name(label) for label in (0, 9, 10, -1)] == ["class 0", "class 9", None, None]
    assert [result.class_name(3, output) for output in ("y", "four", "other")] == ["class 3", None, None]
    assert deltann.load(write_run(tmp_path / "plain", cells)).class_name(0) is None


def test_runs_from_before_there_were_names_are_read_and_damaged_ones_not(tmp_path):
    run = write_run(tmp_path, {"ort": {"y": np.eye(3)}}, class_names=["a", "b", "c"])
    document = dict(run.document)
    del document["class_names"]
    write_json(tmp_path / "run.json", document)
    assert open_run(tmp_path).class_names == []
    for wrong in ("abc", ["a", 3], {"0": "a"}):
        write_json(tmp_path / "run.json", {**document, "class_names": wrong})
        with pytest.raises(UsageError, match=r"damaged \(class_names\)"):
            open_run(tmp_path)


def test_a_comparison_keeps_them(tmp_path, monkeypatch):
    monkeypatch.setenv("DELTANN_CACHE", str(tmp_path / "cache"))
    onnx.save_model(MODELS["classifier"]().proto, tmp_path / "model.onnx")
    with registered(faulty=ENTRY):
        names = write(tmp_path, "\n".join(TEN))
        both = (tmp_path / "model.onnx", ["reference", "faulty"])
        result = deltann.compare(*both, inputs="random:2", class_names=names, out=tmp_path / "run")
        assert deltann.load(tmp_path / "run").class_name(9) == result.class_name(9) == "class 9"
        write(tmp_path, "\n".join(TEN[:-1]))
        with pytest.raises(UsageError, match=r"has 9 names, and model\.onnx has 10 classes"):
            deltann.compare(*both, inputs="random:2", class_names=names, out=tmp_path / "other")
        assert not (tmp_path / "other").exists()
