from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltann.errors import UsageError
from deltann.model import TensorSpec
from deltann.preprocess import Pipeline, load_pipeline, preset_names, resolve
from deltann.preprocess.steps import (
    DTYPES,
    INTERPOLATIONS,
    Colour,
    Crop,
    Decode,
    Dtype,
    Layout,
    Normalise,
    Resize,
    Step,
)

PIXELS = st.integers(1, 4096)
PAIRS = st.tuples(PIXELS, PIXELS)
NUMBERS = st.floats(-1e6, 1e6)
DEVIATIONS = st.floats(1e-6, 1e6)
RELATIVE = st.sampled_from(["input", "input/0.875", "input/1"])
RESIZE = st.one_of(
    st.builds(
        Resize,
        mode=st.sampled_from(["exact", "letterbox"]),
        size=PAIRS | RELATIVE,
        interpolation=st.sampled_from(INTERPOLATIONS),
        fill=st.integers(0, 255),
        anchor=st.sampled_from(["centre", "top_left"]),
    ),
    st.builds(Resize, mode=st.sampled_from(["short_side", "long_side"]), size=PIXELS | RELATIVE),
)
CROP = st.builds(Crop, PAIRS | RELATIVE | st.sampled_from(["short_side*0.875", "image*.5"]))
THREE = st.builds(
    Normalise, scale=DEVIATIONS, mean=st.tuples(NUMBERS, NUMBERS, NUMBERS), std=st.tuples(DEVIATIONS) | st.just((1.0,))
)


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    steps: list[Step] = draw(st.lists(st.builds(Decode, st.booleans()), max_size=1))
    steps += draw(st.lists(RESIZE | CROP, max_size=3))
    steps += draw(st.lists(st.builds(Colour, st.sampled_from(["RGB", "BGR"])), max_size=1))
    steps += draw(st.lists(THREE, max_size=1))
    steps += draw(st.lists(st.builds(Layout, st.sampled_from(["input", "NCHW", "NHWC"])), max_size=1))
    steps += draw(st.lists(st.builds(Dtype, st.sampled_from(["input", *DTYPES])), max_size=1))
    return Pipeline("mine", tuple(steps))


@given(pipelines())
def test_pipelines_round_trip_through_json_and_toml(pipeline: Pipeline) -> None:
    assert Pipeline.from_dict("mine", json.loads(json.dumps(pipeline.to_dict()))) == pipeline
    assert Pipeline.from_dict("mine", tomllib.loads(pipeline.to_toml())) == pipeline


@pytest.mark.parametrize("name", preset_names())
@pytest.mark.parametrize("shape", [(8, 3, 224, 224), (1, 96, 96, 3)])
def test_presets_resolve_to_numbers_and_stay_so(name: str, shape: tuple[int, ...]) -> None:
    spec = TensorSpec("x", "float32", shape)
    resolved = resolve(load_pipeline(name), spec)
    assert "input" not in json.dumps(resolved.to_dict())
    assert resolve(resolved, spec) == resolved


def test_the_promised_presets_exist() -> None:
    assert {"imagenet", "tf", "caffe", "efficientnet-lite", "yolox"} <= set(preset_names())


def test_relative_sizes_are_cut_to_whole_pixels() -> None:
    def side(size: int) -> Any:
        resolved = resolve(load_pipeline("tf"), TensorSpec("x", "float32", (1, 3, size, size)))
        return resolved.find(Resize, Resize()).size

    assert [side(size) for size in (224, 128, 299, 240)] == [256, 146, 341, 274]


def test_a_file_is_read_and_named_by_its_stem(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(load_pipeline("caffe").to_toml())
    assert load_pipeline(path) == Pipeline("mine", load_pipeline("caffe").steps)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[steps", "cannot be read as TOML"),
        ("", "holds nothing"),
        ("stages = []", "holds 'stages'"),
        ("steps = []\nname = 'x'", "nothing else"),
        ("[[steps]]\nstep = 'rotate'", "step 1 is 'rotate'; 'step' is one of decode, resize, crop"),
        ("[[steps]]\nmode = 'exact'", "step 1 is None"),
        ("steps = [1]", "step 1 is None"),
        ("[[steps]]\nstep = 'resize'\nmodus = 'exact'", r"step 1 \(resize\) has no 'modus'; it has mode, size"),
        ("[[steps]]\nstep = 'resize'\nmode = 'cover'", r"\(resize\): mode is 'cover'; it is one of short_side"),
        ("[[steps]]\nstep = 'resize'\ninterpolation = 'area'", "interpolation is 'area'; it is one of nearest"),
        ("[[steps]]\nstep = 'resize'\nsize = 'half'", "size is 'half'"),
        ("[[steps]]\nstep = 'resize'\nsize = 'input/1.5'", "size is 'input/1.5'"),
        ("[[steps]]\nstep = 'resize'\nsize = 'image*0.5'", "size is"),
        ("[[steps]]\nstep = 'resize'\nmode = 'short_side'\nsize = [2, 3]", "size is"),
        ("[[steps]]\nstep = 'resize'\nsize = 0", "size is 0"),
        ("[[steps]]\nstep = 'resize'\nsize = true", "size is True"),
        ("[[steps]]\nstep = 'resize'\nfill = 256", "fill is 256"),
        ("[[steps]]\nstep = 'crop'\nsize = 2.5", "size is 2.5"),
        ("[[steps]]\nstep = 'colour'\norder = 'GBR'", "order is 'GBR'; it is one of RGB, BGR, L"),
        ("[[steps]]\nstep = 'normalise'\nmean = 'zero'", "mean is 'zero'"),
        ("[[steps]]\nstep = 'normalise'\nmean = [1, 2]", "mean has 2 values"),
        ("[[steps]]\nstep = 'normalise'\nmean = [nan]", "mean is"),
        ("[[steps]]\nstep = 'normalise'\nscale = [1, 2]", "scale is"),
        ("[[steps]]\nstep = 'normalise'\nstd = 0", "are not 0"),
        ("[[steps]]\nstep = 'decode'\nexif = 1", "exif is 1"),
        ("[[steps]]\nstep = 'dtype'\ndtype = 'int4'", "dtype is 'int4'"),
        ("[[steps]]\nstep = 'normalise'\n[[steps]]\nstep = 'crop'", "the order is decode"),
        ("[[steps]]\nstep = 'colour'\n[[steps]]\nstep = 'colour'", "declared twice"),
        ("[[steps]]\nstep='colour'\norder='L'\n[[steps]]\nstep='normalise'\nmean=[1,2,3]", "3 channels"),
    ],
)
def test_a_file_that_is_no_pipeline_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        load_pipeline(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_neither_preset_nor_file_lists_the_presets() -> None:
    with pytest.raises(UsageError, match=r"presets: caffe, .*yolox"):
        load_pipeline("imagenot")


@pytest.mark.parametrize(
    ("preset", "dtype", "shape", "message"),
    [
        ("tf", "float32", (1, 10), "an image has 4 dimensions"),
        ("tf", "float32", (1, 4, 8, 8), "1 or 3 channels"),
        ("tf", "float32", (1, 3, 353, 481), "not square"),
        ("tf", "float32", (1, 1, 28, 28), "order = L"),
        ("tf", "uint8", (1, 3, 224, 224), "makes float32, which does not convert"),
        ("yolox", "int8", (1, 3, 224, 224), "makes uint8, which does not convert"),
    ],
)
def test_inputs_that_the_pipeline_cannot_make_are_refused(
    preset: str, dtype: str, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        resolve(load_pipeline(preset), TensorSpec("x", dtype, shape))


def test_a_declared_layout_or_type_that_the_model_has_not_is_refused() -> None:
    spec = TensorSpec("x", "float32", (1, 3, 8, 8))
    with pytest.raises(UsageError, match="its layout is not NHWC"):
        resolve(Pipeline("p", (Layout("NHWC"),)), spec)
    with pytest.raises(UsageError, match="makes float16"):
        resolve(Pipeline("p", (Dtype("float16"),)), spec)
    assert resolve(Pipeline("p", (Layout("NCHW"), Dtype("float32"))), spec).find(Layout, Layout()).order == "NCHW"
