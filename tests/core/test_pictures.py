"""Pictures of samples: small, of those worth seeing alone, and never a reason for a run to fail."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import deltann
from deltann.dataset.source import ArraySource, ImageSource, parse_source
from deltann.pictures import FOLDER, MOST_BYTES, SIDE, keep_pictures, picture
from deltann.preprocess import Pipeline
from deltann.preprocess.steps import Decode, Normalise, Resize
from deltann.store import Run, RunStatus, open_run
from deltann.testing.faulty import ENTRY
from deltann.testing.models import MODELS
from deltann.testing.registration import registered
from deltann.testing.stored import write_run

PIPELINE = Pipeline("small", (Decode(), Resize(mode="exact"), Normalise(scale=1 / 255)))
WRONG = "faulty[mismatch=nan,symptom=MISMATCH]"


def photograph(path: Path, size=(300, 200), **options) -> Path:
    """Red on the left, blue on the right, with some noise that no compression removes."""
    pixels = np.random.default_rng(len(path.name)).integers(0, 40, (size[1], size[0], 3), np.uint8)
    pixels[:, : size[0] // 2, 0] += 200
    pixels[:, size[0] // 2 :, 2] += 200
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images of several sizes and formats."""
    made = tmp_path / "images"
    made.mkdir()
    photograph(made / "a.png")
    photograph(made / "b.jpg", (20, 500), comment=b"where it was taken")
    photograph(made / "c.webp", (30, 30))
    photograph(made / "d.png", (4000, 3))
    return made


def run_of(path: Path, folder: Path) -> Run:
    names = sorted(file.name for file in folder.iterdir())
    scores = np.random.default_rng(3).standard_normal((len(names), 4))
    return write_run(path / "run", {"ort": {"y": scores}, "torch": {"y": scores + 1}}, names=names)


def kept(run: Run, index: int) -> Image.Image:
    data = picture(run, index)
    assert data is not None
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def test_pictures_are_small_and_of_the_samples_asked_for(tmp_path, folder):
    run = run_of(tmp_path, folder)
    keep_pictures(run, parse_source(folder), [3, 0, 1])
    assert sorted(path.name for path in (run.folder / FOLDER).iterdir()) == ["0.jpg", "1.jpg", "3.jpg"]
    assert [kept(run, index).size for index in (0, 1, 3)] == [(160, 107), (6, 160), (160, 1)]
    assert picture(run, 2) is None
    left, right = kept(run, 0).getpixel((20, 50)), kept(run, 0).getpixel((140, 50))
    assert left[0] > 150 > right[0]
    assert right[2] > 150 > left[2]
    assert "comment" not in kept(run, 1).info
    assert len(picture(run, 0)) < MOST_BYTES


@pytest.mark.parametrize("exif", [True, False])
def test_a_picture_is_turned_as_the_models_input_was(tmp_path, exif):
    folder = tmp_path / "images"
    folder.mkdir()
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter to the right
    photograph(folder / "a.jpg", exif=turned.tobytes())
    run = run_of(tmp_path, folder)
    keep_pictures(run, parse_source(folder), [0], exif)
    assert kept(run, 0).size == ((107, 160) if exif else (160, 107))
    assert not kept(run, 0).getexif()


def test_what_cannot_be_read_any_more_is_left_out(tmp_path, folder):
    source = parse_source(folder)
    run = run_of(tmp_path, folder)
    (folder / "a.png").unlink()
    (folder / "c.webp").write_bytes(b"RIFF\0\0\0\0WEBP")
    keep_pictures(run, source, [0, 1, 2, 3])
    assert [index for index in range(4) if picture(run, index)] == [1, 3]


def test_an_image_too_large_to_decode_is_left_out(tmp_path, folder, monkeypatch):
    run = run_of(tmp_path, folder)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50_000)
    keep_pictures(run, parse_source(folder), [0, 1])
    assert [index for index in range(2) if picture(run, index)] == [1]


def test_there_is_nothing_to_keep_of_arrays_or_of_no_samples(tmp_path, folder):
    run = run_of(tmp_path, folder)
    keep_pictures(run, ArraySource(arrays={"": np.zeros((4, 3))}), [0])
    keep_pictures(run, parse_source("random:4"), [0])
    keep_pictures(run, parse_source(folder), [])
    assert not (run.folder / FOLDER).exists()


def test_names_lead_nowhere_but_to_the_inputs(tmp_path, folder):
    """A sample's name is no path: what is none of the source's files has no picture."""
    photograph(tmp_path / "secret.png")
    run = write_run(tmp_path / "run", {"ort": {"y": np.eye(3)}}, names=["../secret.png", "a.png", "a.png"])
    keep_pictures(run, ImageSource((folder / "a.png",)), [0, 1, 2])
    assert [index for index in range(3) if picture(run, index)] == [1, 2]
    assert sorted(path.name for path in (run.folder / FOLDER).iterdir()) == ["1.jpg", "2.jpg"]


def jpeg(size=(20, 10)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, (255, 0, 0)).save(data, "JPEG")
    return data.getvalue()


def png() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (9, 9)).save(data, "PNG")
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "good"),
    [
        (jpeg(), True),
        (jpeg((SIDE, SIDE)), True),
        (jpeg((SIDE + 1, 5)), False),
        (jpeg()[:-40], False),
        (jpeg() + b"\0" * MOST_BYTES, False),
        (png(), False),
        (b"<svg onload=alert(1)>", False),
        (b"", False),
    ],
)
def test_a_strangers_picture_is_a_small_jpeg_or_none(tmp_path, data, good):
    run = write_run(tmp_path / "run", {"ort": {"y": np.eye(3)}})
    (run.folder / FOLDER).mkdir()
    (run.folder / FOLDER / "1.jpg").write_bytes(data)
    assert picture(run, 1) == (data if good else None)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.integers(0, 400), st.binary(max_size=6), st.integers(0, 400))
def test_no_damage_of_a_picture_raises(tmp_path_factory, at, put, cut):
    run = Run(tmp_path_factory.getbasetemp() / "damaged", {})
    (run.folder / FOLDER).mkdir(parents=True, exist_ok=True)
    whole = jpeg()
    damaged = whole[:at] + put + whole[at + len(put) : len(whole) - cut]
    (run.folder / FOLDER / "0.jpg").write_bytes(damaged)
    assert picture(run, 0) in (None, damaged)


def test_what_is_no_file_of_the_run_is_not_read(tmp_path):
    """A link out of the run, a folder, a pipe, which would wait for ever."""
    run = write_run(tmp_path / "run", {"ort": {"y": np.eye(3)}})
    pictures = run.folder / FOLDER
    pictures.mkdir()
    (tmp_path / "mine.jpg").write_bytes(jpeg())
    (pictures / "0.jpg").symlink_to(tmp_path / "mine.jpg")
    (pictures / "1.jpg").mkdir()
    os.mkfifo(pictures / "2.jpg")
    (pictures / "3.jpg").write_bytes(jpeg())
    assert [bool(picture(run, index)) for index in range(5)] == [False, False, False, True, False]


@pytest.fixture
def compare(tmp_path, folder, monkeypatch):
    """`compare(backends, …)`: a comparison on the images of `folder`."""
    monkeypatch.setenv("DELTANN_CACHE", str(tmp_path / "cache"))
    onnx.save_model(MODELS["classifier"]().proto, tmp_path / "model.onnx")
    with registered(faulty=ENTRY):
        yield lambda *backends, **options: deltann.compare(
            tmp_path / "model.onnx", backends, out=tmp_path / "run",
            **({"inputs": folder, "preprocess": PIPELINE} | options),
        )  # fmt: skip


def test_a_comparison_keeps_pictures_of_what_differs(compare):
    run = compare("reference", WRONG).run
    assert run.status is RunStatus.COMPLETE
    assert [kept(run, index).size[0] for index in range(4)] == [160, 6, 30, 160]
    assert picture(open_run(run.folder), 0) == picture(run, 0)


def test_a_comparison_that_agrees_keeps_none(compare):
    assert not (compare("reference", "faulty").run.folder / FOLDER).exists()


def test_a_comparison_on_arrays_keeps_none(compare):
    samples = np.random.default_rng(1).standard_normal((3, 3, 2, 2)).astype(np.float32)
    result = compare("reference", WRONG, inputs=samples, preprocess=None)
    assert result.verdict == "DIFFER"
    assert not (result.run.folder / FOLDER).exists()


def test_images_that_vanish_meanwhile_fail_no_comparison(compare, folder):
    def remove(what, _doing, _done, _total):
        if what == "reference":
            (folder / "a.png").unlink(missing_ok=True)

    result = compare("reference", WRONG, listener=remove)
    assert (result.verdict, result.run.status) == ("DIFFER", RunStatus.COMPLETE)
    assert [bool(picture(result.run, index)) for index in range(4)] == [False, True, True, True]


def test_a_full_disk_is_told_as_everywhere(compare, monkeypatch):
    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("deltann.study.keep_pictures", full)
    with pytest.raises(deltann.UsageError, match="No space left on device; free some space"):
        compare("reference", "faulty")
