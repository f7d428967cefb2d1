"""The models that the onnx package brings without their weights, each a constant: they agree whatever computes them."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

import deltann
from deltann.comparison.power import Power
from deltann.comparison.verdict import Verdict

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


@pytest.mark.parametrize("name", ["light_squeezenet", "light_shufflenet"])
def test_constant_weights_are_inconclusive_and_never_agreement(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    model = FOLDER / f"{name}.onnx"
    if not model.is_file():
        pytest.skip(f"this onnx package has no {model.name}")
    monkeypatch.setenv("DELTANN_CACHE", str(tmp_path / "cache"))
    result = deltann.compare(model, "ort,ort-O0", inputs="random:4", evidence="power", out=tmp_path / "run")
    assert (result.verdict, result.exit_code) == (Verdict.INCONCLUSIVE, 4)
    power = result.weighed.powers["model"]
    assert isinstance(power, Power)
    assert not power.enough
    assert "of the model with a fault each" in " ".join(result.compared[0].judgement.reasons)
