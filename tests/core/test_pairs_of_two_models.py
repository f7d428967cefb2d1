"""Which cells of two models meet, where not every environment reads both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deltann.model import Model
from deltann.pairing import _pairs
from deltann.runner.cell import samples_needed
from deltann.store import Cell
from deltann.testing.models import MODELS


def _cells(model: str, against: str) -> list[Cell]:
    return [*(Cell(name) for name in model.split()), *(Cell(name, "against") for name in against.split())]


@pytest.mark.parametrize(
    ("model", "against", "met"),
    [
        ("tflite ort", "tflite ort", {("tflite", "tflite"), ("ort", "ort")}),
        ("tflite", "tflite ort", {("tflite", "tflite"), ("ort", "tflite")}),
        ("tflite ort", "tflite", {("tflite", "tflite"), ("tflite", "ort")}),
        ("ort", "tflite", {("tflite", "ort")}),
    ],
)
def test_every_cell_meets_one_of_the_other_model(model: str, against: str, met: set[tuple[str, str]]) -> None:
    pairs = _pairs(_cells(model, against), None)
    assert all((candidate.role, base.role) == ("against", "model") for candidate, base in pairs)
    assert sorted((candidate.environment, base.environment) for candidate, base in pairs) == sorted(met)


def test_a_finished_model_is_not_calibrated(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    model: Model = MODELS["classifier"]().save(tmp_path)
    assert samples_needed(Cell("tflite-int8[samples=7]"), model) == 7
    assert samples_needed(Cell("tflite-int8[samples=7]"), replace(model, format="tflite")) == 0
