"""What is wrong with a request is told in one line that names the fix, before anything runs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from deltann.testing.tiny import build, normal, tensor


@pytest.fixture(scope="module")
def image_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of 8x8 RGB images, 10 classes."""
    rng = np.random.default_rng(5)
    weights = {"w": normal(rng, 10, 192)}
    nodes = [helper.make_node("Flatten", ["image"], ["f"]), helper.make_node("Gemm", ["f", "w"], ["logits"], transB=1)]
    path = tmp_path_factory.mktemp("model") / "images.onnx"
    onnx.save_model(build(nodes, [tensor("image", "batch", 3, 8, 8)], [tensor("logits", "batch", 10)], weights), path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two good images, a CMYK one and a truncated one."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(6)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 256, (12, 14, 3), np.uint8)).save(folder / name)
    Image.fromarray(rng.integers(0, 256, (12, 14, 4), np.uint8), "CMYK").save(folder / "cmyk.jpg")
    data = (folder / "a.png").read_bytes()
    (folder / "cut.png").write_bytes(data[: len(data) // 2])
    return folder


@pytest.fixture
def compare(cli, tmp_path):
    """Compare with --out in a fresh place; afterwards nothing there looks like a finished run."""
    out = tmp_path / "new run"

    def invoke(*args, **options):
        given = {"backends": "reference,faulty", "inputs": "random:2", "out": out, **options}
        flags = [part for key, value in given.items() for part in (f"--{key.replace('_', '-')}", value)]
        return cli("compare", *flags, *args)

    yield invoke
    if out.exists():
        assert cli("report", out).error


# The model


def _external(folder: Path, location: str) -> Path:
    rng = np.random.default_rng(7)
    proto = build(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [tensor("x", "batch", 4)], [tensor("y", "batch", 3)], {"w": normal(rng, 4, 3)},
    )  # fmt: skip
    weight = proto.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.append(onnx.StringStringEntryProto(key="location", value=location))
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    return folder / "model.onnx"


def test_no_such_model(compare, tmp_path):
    assert "no such file" in compare(model=tmp_path / "none.onnx").error


def test_a_folder_is_no_model(compare, tmp_path):
    assert "no such file" in compare(model=tmp_path).error


def test_not_onnx(compare, tmp_path):
    (tmp_path / "text.onnx").write_text("<html>404</html>")
    assert "not an ONNX" in compare(model=tmp_path / "text.onnx").error


def test_an_empty_file(compare, tmp_path):
    (tmp_path / "empty.onnx").touch()
    assert "not an ONNX model" in compare(model=tmp_path / "empty.onnx").error


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_model(compare, models, tmp_path, share):
    data = (models / "classifier.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(data[: int(len(data) * share)])
    assert str(tmp_path / "cut.onnx") in compare(model=tmp_path / "cut.onnx").error


def test_a_model_that_fails_the_checker(compare, tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Relu", ["nowhere"], ["y"])], "g", [tensor("x", 1, 2)], [tensor("y", 1, 2)]
    )
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "wrong.onnx")
    assert "fails onnx.checker" in compare(model=tmp_path / "wrong.onnx").error


def test_external_data_that_is_missing(compare, tmp_path):
    error = compare(model=_external(tmp_path / "m", "weights.bin")).error
    assert "'weights.bin' is missing" in error


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "sub/../../secret.bin"])
def test_external_data_outside_the_folder_is_refused(compare, tmp_path, location):
    (tmp_path / "secret.bin").write_bytes(bytes(48))
    assert "outside the model's folder: refused" in compare(model=_external(tmp_path / "m", location)).error


def test_external_data_behind_a_link_is_refused(compare, tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(48))
    model = _external(tmp_path / "m", "weights.bin")
    (model.parent / "weights.bin").symlink_to(tmp_path / "secret.bin")
    assert "outside the model's folder: refused" in compare(model=model).error


# Backends


@pytest.mark.parametrize(
    ("spec", "lists"),
    [
        ("nothing", ("reference", "faulty")),
        ("faulty-slow", ("faulty-crash", "faulty-wrong")),
        ("faulty[speed=1]", ("symptom", "stage")),
        ("faulty[symptom=BOREDOM]", ("CRASH", "TIMEOUT")),
        ("faulty[at=0]", ("at least 1",)),
        ("faulty:npu", ("cpu",)),
        ("faulty[", ("NAME[-VARIANT]",)),
        ("faulty-crash-wrong", ("exclude each other",)),
        ("faulty,faulty", ("named twice",)),
    ],
)
def test_a_spec_that_names_nothing_is_told_what_exists(compare, models, spec, lists):
    error = compare(model=models / "classifier.onnx", backends=f"reference,{spec}").error
    for text in lists:
        assert text in error


def test_one_environment_alone(compare, models):
    assert "name a second backend" in compare(model=models / "classifier.onnx", backends="reference").error


def test_no_backends_at_all(cli, models):
    assert "--backends is missing" in cli("compare", "--model", models / "classifier.onnx").error


# Inputs


def _npz(tmp_path, **arrays):
    np.savez(tmp_path / "given.npz", **arrays)
    return tmp_path / "given.npz"


@pytest.mark.parametrize(
    "arrays",
    [
        {"tokens": np.zeros((2, 3), np.int64)},
        {"tokens": np.zeros((2, 3), np.int64), "dence": np.zeros((2, 4), np.float32)},
        {"tokens": np.zeros((2, 3), np.int64), "dense": np.zeros((2, 5), np.float32)},
        {"tokens": np.zeros((2, 3), np.int64), "dense": np.zeros((3, 4), np.float32)},
        {"tokens": np.zeros((2, 3), np.float32), "dense": np.zeros((2, 4), np.float32)},
        {"tokens": np.zeros((0, 3), np.int64), "dense": np.zeros((0, 4), np.float32)},
        {"tokens": np.zeros((2, 3), np.int64), "dense": np.zeros((2, 4), np.float32), "more": np.zeros(2)},
    ],
    ids=["missing", "misspelt", "shape", "counts", "dtype", "none", "extra"],
)
def test_arrays_that_do_not_fit_are_told_what_does(compare, models, tmp_path, arrays):
    error = compare(model=models / "mixed_inputs.onnx", inputs=_npz(tmp_path, **arrays)).error
    assert "given.npz" in error
    assert "tokens" in error or "dense" in error


def test_arrays_of_objects_are_never_unpickled(compare, models, tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    np.save(tmp_path / "bomb.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    assert "Python objects" in compare(model=models / "classifier.onnx", inputs=tmp_path / "bomb.npy").error
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("inputs", ["random:0", "random:many", "random:4,seed=x", "random:4,dist=cauchy", "nowhere"])
def test_inputs_that_cannot_be_read(compare, models, inputs):
    assert inputs.partition(",")[0] in compare(model=models / "classifier.onnx", inputs=inputs).error


def test_a_file_that_is_no_input(compare, models):
    error = compare(model=models / "classifier.onnx", inputs=models / "classifier.onnx").error
    assert "'.onnx' are not understood" in error


def test_a_limit_of_none(compare, models):
    assert "--limit" in compare(model=models / "classifier.onnx", limit=0).error


def test_a_batch_of_none(compare, models):
    assert "--batch-size" in compare(model=models / "classifier.onnx", batch_size=0).error


@pytest.mark.parametrize("shape", ["x=1x3", "nothing=1x3x2x2", "x=0x3x2x2", "x=1,3", "x=1x3x2x3"])
def test_shapes_that_do_not_fit(compare, models, shape):
    assert "shape" in compare(model=models / "classifier.onnx", shape=shape).error


def test_an_empty_folder(compare, image_model, tmp_path):
    (tmp_path / "nothing").mkdir()
    error = compare(model=image_model, inputs=tmp_path / "nothing", preprocess="imagenet").error
    assert "holds no files" in error


def test_images_without_a_pipeline_are_told_the_presets(compare, image_model, images):
    error = compare(model=image_model, inputs=images).error
    assert "imagenet" in error
    assert "--preprocess" in error


def test_an_unknown_pipeline(compare, image_model, images):
    assert "presets: " in compare(model=image_model, inputs=images, preprocess="imagnet").error


def test_bad_images_are_named_and_refused(compare, image_model, images):
    error = compare(model=image_model, inputs=images, preprocess="imagenet").error
    assert "cmyk.jpg" in error
    assert "cut.png" in error
    assert "--skip-bad-inputs" in error
    assert "a.png" not in error


def test_bad_images_are_left_out_when_told_to_and_still_named(cli, image_model, images, tmp_path):
    done = cli("compare", "--model", image_model, "--backends", "reference,faulty", "--inputs", images,
               "--preprocess", "imagenet", "--out", tmp_path / "run", "--skip-bad-inputs")  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert "2 samples from" in done.out
    assert "skipped cmyk.jpg: " in done.out
    assert "skipped cut.png: " in done.out


def test_images_of_which_none_is_good(compare, image_model, images):
    for name in ("a.png", "b.png"):
        (images / name).unlink()
    error = compare("--skip-bad-inputs", model=image_model, inputs=images, preprocess="imagenet").error
    assert "2 of 2 images cannot be used" in error


def test_a_name_that_would_command_the_terminal_stays_one_line(compare, image_model, images):
    (images / "cut.png").rename(images / "evil\x1b[31m\nError: \udcff.png")
    error = compare(model=image_model, inputs=images, preprocess="imagenet").error
    assert r"evil\x1b[31m\nError: \udcff.png" in error


# Labels


def _labels(tmp_path, *lines):
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "labels.csv"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["file,label", "a.png,1"], "b.png"),
        (["file,label", "a.png,1", "b.png,x"], "'x'"),
        (["file,label", "a.png,1", "b.png,2", "b.png,3"], "b.png"),
        (["name,category", "a.png,1", "b.png,2"], "label"),
        (["file,label"], "no labels"),
        (["file,label", "a.png,1", "b.png,10"], "outside the model's classes 0–9"),
    ],
)
def test_labels_that_do_not_match(compare, image_model, images, tmp_path, lines, says):
    for name in ("cmyk.jpg", "cut.png"):
        (images / name).unlink()
    error = compare(model=image_model, inputs=images, preprocess="imagenet", labels=_labels(tmp_path, *lines)).error
    assert says in error
    assert not (tmp_path / "new run").exists(), "this was known before anything ran"


def test_labels_of_another_number_than_the_samples(compare, models, tmp_path):
    error = compare(model=models / "classifier.onnx", labels=_labels(tmp_path, "label", "1", "2", "3")).error
    assert "3 labels for 2 samples" in error


def test_a_labels_file_that_is_not_there(compare, models, tmp_path):
    assert "no such file" in compare(model=models / "classifier.onnx", labels=tmp_path / "none.csv").error


# Thresholds


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("rtol", "small"), ("rtol", "-1"), ("rtol", "nan"), ("atol", "nothing=1"), ("max_disagreement", "2"),
        ("max_disagreement", "half"), ("reference", "ort-O1"), ("timeout", "0"), ("timeout", "NAP=3"),
        ("map_outputs", "y=y"),
    ],
)  # fmt: skip
def test_thresholds_that_cannot_be_meant(compare, models, flag, value):
    assert compare(model=models / "classifier.onnx", **{flag: value}).error


# The run's folder


def test_a_file_in_the_way(compare, models, tmp_path):
    (tmp_path / "taken").touch()
    for out in (tmp_path / "taken", tmp_path / "taken" / "below"):
        assert "choose another --out" in compare(model=models / "classifier.onnx", out=out).error


def test_a_folder_of_other_things(compare, models, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    assert "not empty" in compare(model=models / "classifier.onnx", out=tmp_path / "mine").error


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_one_may_not_write_to(compare, models, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "choose another --out" in compare(model=models / "classifier.onnx", out=tmp_path / "locked" / "run").error


def test_json_into_no_folder_is_refused_before_anything_runs(compare, models, tmp_path):
    error = compare("--json", tmp_path / "none" / "x.json", model=models / "classifier.onnx").error
    assert "--json" in error
    assert not (tmp_path / "new run").exists()


def test_a_finished_run_is_not_overwritten(cli, models, tmp_path):
    request = ("compare", "--model", models / "classifier.onnx", "--backends", "reference,faulty",
               "--inputs", "random:2", "--out", tmp_path / "run")  # fmt: skip
    assert cli(*request).code == 0
    before = (tmp_path / "run" / "run.json").read_bytes()
    assert "finished run" in cli(*request).error
    assert (tmp_path / "run" / "run.json").read_bytes() == before


FULL = """
mount -t tmpfs -o size={size}k none {folder} || exit 77
"$@"; code=$?
cat {folder}/run/run.json > {copy} 2>/dev/null
exit $code
"""


@pytest.mark.parametrize(("size", "samples"), [(4, 2), (16, 2), (20, 2), (64, 2000)])
def test_a_full_disk(process, models, tmp_path, size, samples):
    """In a mount of its own, which ends with the process: whatever does not fit, a run is whole or says it is not."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare to mount a small disk")
    (tmp_path / "disk").mkdir()
    script = FULL.format(size=size, folder=tmp_path / "disk", copy=tmp_path / "run.json")
    done = process("compare", "--model", models / "classifier.onnx", "--backends", "reference,faulty",
                   "--inputs", f"random:{samples}", "--out", tmp_path / "disk" / "run",
                   under=["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh"])  # fmt: skip
    if done.code == 77 or done.err.startswith("unshare"):
        pytest.skip("this machine lets nobody mount a small disk")
    assert "No space left" in done.error
    left = (tmp_path / "run.json").read_text()
    assert '"complete"' not in left


@pytest.mark.parametrize("arguments", [(), ("--json", "-")])
def test_an_output_that_takes_nothing_more(process, cli, models, tmp_path, arguments):
    done = cli("compare", "--model", models / "classifier.onnx", "--backends", "reference,faulty",
               "--inputs", "random:2", "--out", tmp_path / "run")  # fmt: skip
    assert done.code == 0
    with Path("/dev/full").open("w") as full:
        told = process("report", tmp_path / "run", *arguments, stdout=full)
    assert told.code == 2
    assert "No space left" in told.err
    assert "Traceback" not in told.err
