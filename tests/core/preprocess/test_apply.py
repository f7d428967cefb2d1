from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from deltann.errors import UsageError
from deltann.model import TensorSpec
from deltann.preprocess import Pipeline, apply, load_pipeline, resolve
from deltann.preprocess.steps import Colour, Crop, Dtype, Layout, Normalise, Resize, Step

FLOATS = (Layout("NCHW"), Dtype("float32"))


def photograph(height: int, width: int, seed: int = 0) -> Image.Image:
    """Smooth noise, as sizes and orders of axes go unnoticed in a plain colour."""
    pixels = np.random.default_rng(seed).integers(0, 256, (max(2, height // 8), max(2, width // 8), 3), np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def run(image: Image.Image, *steps: Step) -> npt.NDArray[Any]:
    return apply(Pipeline("p", (*steps, *FLOATS)), image)


def test_tf_is_the_formula_on_the_centre_of_the_resized_image() -> None:
    image = photograph(120, 160)
    row = apply(resolve(load_pipeline("tf"), TensorSpec("x", "float32", (1, 3, 56, 56))), image)
    by_hand = image.resize((85, 64), Image.Resampling.BILINEAR).crop((14, 4, 70, 60))
    expected = np.asarray(by_hand, np.float64).transpose(2, 0, 1) / 127.5 - 1
    np.testing.assert_allclose(row, expected, atol=1e-6)
    assert row.dtype == np.float32


def test_imagenet_is_the_published_formula() -> None:
    image = photograph(64, 64)
    row = apply(resolve(load_pipeline("imagenet"), TensorSpec("x", "float32", (1, 3, 56, 56))), image)
    x = np.asarray(image.crop((4, 4, 60, 60)), np.float64) / 255
    expected = (x - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(row, expected.transpose(2, 0, 1), atol=1e-5)


def test_caffe_is_blue_first_less_the_mean_pixel() -> None:
    image = photograph(64, 64)
    row = apply(resolve(load_pipeline("caffe"), TensorSpec("x", "float32", (1, 3, 56, 56))), image)
    expected = np.asarray(image.crop((4, 4, 60, 60)), np.float64)[..., ::-1] - [104, 117, 123]
    np.testing.assert_array_equal(row, expected.transpose(2, 0, 1))


def test_efficientnet_lite_crops_a_square_before_it_resizes() -> None:
    image = photograph(80, 101)
    row = apply(resolve(load_pipeline("efficientnet-lite"), TensorSpec("x", "float32", (1, 3, 32, 32))), image)
    square = image.crop((16, 5, 86, 75))  # 70 = 0.875 · 80; offsets (101−70+1)//2 and (80−70+1)//2
    expected = (np.asarray(square.resize((32, 32), Image.Resampling.BICUBIC), np.float64) - 127) / 128
    np.testing.assert_allclose(row, expected.transpose(2, 0, 1), atol=1e-6)


def test_yolox_fits_at_the_top_left_on_grey_and_keeps_the_values() -> None:
    image = photograph(50, 100)
    row = apply(resolve(load_pipeline("yolox"), TensorSpec("x", "float32", (1, 3, 64, 64))), image)
    inner = np.asarray(image.resize((64, 32), Image.Resampling.BILINEAR))[..., ::-1].transpose(2, 0, 1)
    np.testing.assert_array_equal(row[:, :32], inner)
    assert (row[:, 32:] == 114).all()


def test_a_centred_letterbox_has_ground_on_both_sides() -> None:
    row = run(photograph(100, 50), Resize("letterbox", (64, 64), fill=7))
    assert (row[:, :, :16] == 7).all()
    assert (row[:, :, 48:] == 7).all()
    assert row[:, :, 16:48].std() > 0


def test_inception_keeps_the_share_of_each_side() -> None:
    image = photograph(80, 160)
    row = run(image, Crop("image*0.875"), Resize("exact", (20, 20)))
    expected = image.crop((10, 5, 150, 75)).resize((20, 20), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(row, np.asarray(expected).transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("mode", "shape"), [("short_side", (3, 32, 64)), ("long_side", (3, 16, 32)), ("exact", (3, 32, 32))]
)
def test_resize_modes_give_their_shapes(mode: str, shape: tuple[int, ...]) -> None:
    size: Any = (32, 32) if mode == "exact" else 32
    assert run(photograph(50, 100), Resize(mode, size)).shape == shape


def test_odd_crops_round_as_torchvision_does() -> None:
    image = photograph(9, 11)
    np.testing.assert_array_equal(run(image, Crop((4, 4))), np.asarray(image.crop((4, 2, 8, 6))).transpose(2, 0, 1))


def test_layouts_hold_the_same_values() -> None:
    steps = (Resize("exact", (16, 24)), Normalise(1.0, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)))
    image = photograph(30, 30)
    first = apply(Pipeline("p", (*steps, Layout("NCHW"), Dtype("float32"))), image)
    last = apply(Pipeline("p", (*steps, Layout("NHWC"), Dtype("float32"))), image)
    np.testing.assert_array_equal(first.transpose(1, 2, 0), last)


def test_half_precision_is_rounded_once_from_float32() -> None:
    steps = (Resize("exact", (8, 8)), Normalise(1 / 255, (0.485,), (0.229,)))
    image = photograph(30, 30)
    half = apply(Pipeline("p", (*steps, Layout("NCHW"), Dtype("float16"))), image)
    np.testing.assert_array_equal(half, run(image, *steps).astype(np.float16))


def test_without_normalisation_bytes_stay_bytes() -> None:
    image = photograph(8, 8)
    row = apply(resolve(Pipeline("p", ()), TensorSpec("x", "uint8", (1, 8, 8, 3))), image)
    assert row.dtype == np.uint8
    np.testing.assert_array_equal(row, np.asarray(image))


def test_grey_models_get_luma() -> None:
    image = photograph(8, 8)
    row = apply(resolve(Pipeline("p", (Colour("L"),)), TensorSpec("x", "float32", (1, 1, 8, 8))), image)
    np.testing.assert_array_equal(row[0], np.asarray(image.convert("L")))


def test_a_result_of_another_shape_is_refused_naming_both() -> None:
    out = np.empty((3, 16, 16), np.float32)
    with pytest.raises(UsageError, match=r"makes 3x20x30 .* wants 3x16x16"):
        apply(Pipeline("p", FLOATS), photograph(20, 30), out)


def test_a_crop_larger_than_the_image_is_refused() -> None:
    with pytest.raises(UsageError, match="crops 16x16 out of 20x12: put a resize before it"):
        run(photograph(20, 12), Crop((16, 16)))


def test_an_unresolved_pipeline_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="not resolved"):
        apply(load_pipeline("tf"), photograph(8, 8))
