"""A trained network in lower precisions, on photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from deltann.environment import Environment
from deltann.model import Model, load_model
from deltann_ort import OrtBackend

pytest.importorskip("onnxruntime")

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
BACKEND = OrtBackend()
COUNT = 20

pytestmark = pytest.mark.skipif(not (DATA / "models" / "mobilenet_v2.onnx").is_file(), reason=f"no models in {DATA}")


def _image(path: Path) -> npt.NDArray[np.float32]:
    """Short side 256, centre crop 224, x/127.5 − 1, as the model was trained."""
    with Image.open(path) as picture:
        rgb = picture.convert("RGB")
    scale = 256 / min(rgb.size)
    rgb = rgb.resize((round(rgb.width * scale), round(rgb.height * scale)), Image.Resampling.BILINEAR)
    left, top = (rgb.width - 224) // 2, (rgb.height - 224) // 2
    pixels = np.asarray(rgb.crop((left, top, left + 224, top + 224)), np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)) / np.float32(127.5) - np.float32(1)


@pytest.fixture(scope="module")
def images() -> npt.NDArray[np.float32]:
    paths = sorted((DATA / "images" / "nips17_256_png").glob("*.png"))[: 2 * COUNT]
    return np.stack([_image(path) for path in paths])


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(DATA / "models" / "mobilenet_v2.onnx").bind({"input": (5, 3, 224, 224)})


def _logits(
    model: Model, spec: str, folder: Path, images: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], dict[str, str]]:
    """Of the last `COUNT` images, five at a time; the others calibrate."""
    env = Environment.parse(spec)
    batches = [{"input": images[i : i + 5]} for i in range(0, 2 * COUNT, 5)]
    samples = batches[: COUNT // 5] if BACKEND.calibration_samples(env) else []
    folder.mkdir()
    artifact = BACKEND.lower_calibrated(model, env, folder, samples)
    with BACKEND.load(artifact, env) as executable:
        outputs = [next(iter(executable.run(batch).values())) for batch in batches[COUNT // 5 :]]
        return np.concatenate(outputs).astype(np.float32), dict(executable.actual())  # type: ignore[attr-defined]


def test_static_int8_and_float16_keep_most_labels(
    model: Model, images: npt.NDArray[np.float32], tmp_path: Path
) -> None:
    exact, _ = _logits(model, "ort", tmp_path / "float", images)
    static, facts = _logits(model, "ort-int8[samples=20]", tmp_path / "int8", images)
    half, _ = _logits(model, "ort-fp16", tmp_path / "half", images)
    assert facts["precision"] == "int8"
    spread = exact.std()
    assert 0.02 < np.abs(static - exact).mean() / spread < 0.5
    assert 1e-5 < np.abs(half - exact).mean() / spread < 0.02
    assert (
        np.mean(static.argmax(1) == exact.argmax(1)) >= 0.7
    )  # 0.955 of the 156 left out of calibration photographs; these are hard ones
    assert np.mean(half.argmax(1) == exact.argmax(1)) >= 0.95
