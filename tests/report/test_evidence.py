"""What the console and the JSON say of the evidence: each line where it holds, and not where it does not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import deltann
from deltann.comparison.evidence import Arbitration, Sabotage, Sabotaged
from deltann.report.console import screen
from deltann.report.contents import Contents
from deltann.report.json import to_json
from deltann.testing.stored import write_arbitration, write_repeats, write_run, write_sabotage

RNG = np.random.default_rng(17)
EXACT = RNG.standard_normal((12, 6))
ROUNDED = EXACT.astype(np.float32)
NOISE = RNG.standard_normal((12, 6)).astype(np.float32)
OFF = ROUNDED + np.float32(1e-3) * NOISE
ROWS = np.arange(12)


def _shown(folder: Path) -> str:
    from rich.console import Console

    console = Console(width=80, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(screen(deltann.load(folder), 80))
    return " ".join(captured.get().split())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two right environments and one that is off, judged by float64; nothing else is known."""
    cells = {"ort": {"y": ROUNDED}, "torch": {"y": ROUNDED}, "tvm": {"y": OFF}}
    run = write_run(tmp_path / "run", cells, source="photographs")
    write_arbitration(run, Arbitration("torch[precision=float64]", ROWS, 12, {"y": EXACT}, {"y": ROUNDED}))
    return run.folder


def test_each_environment_is_shown_beside_float64(folder: Path) -> None:
    shown = _shown(folder)
    assert "Beside float64 (by torch, on 12 samples; root mean square)" in shown
    assert shown.count(" sound") >= 2
    assert f"C tvm float32 {np.sqrt(np.mean((OFF - EXACT) ** 2)):.1e}" in shown
    assert "unsound" in shown


def test_who_is_wrong_is_named(folder: Path) -> None:
    assert "C tvm: wrong, by arbiter" in _shown(folder)
    (blamed,) = json.loads(to_json(Contents(deltann.load(folder))))["blamed"]
    assert blamed["cells"] == ["tvm"]


def test_nobody_is_named_where_nothing_differs(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {"ort": {"y": ROUNDED}, "torch": {"y": ROUNDED}})
    assert "wrong" not in _shown(run.folder)
    assert json.loads(to_json(Contents(deltann.load(run))))["blamed"] == []


def test_what_was_not_gathered_is_told(folder: Path, tmp_path: Path) -> None:
    shown = _shown(folder)
    assert "Not gathered: each environment run again, sabotaged copies" in shown
    assert "Not gathered: float64" not in shown
    bare = write_run(tmp_path / "bare", {"ort": {"y": ROUNDED}, "torch": {"y": ROUNDED}})
    assert "Not gathered: float64 (tolerances are a convention)" in _shown(bare.folder)


def test_random_inputs_are_said_to_be_noise_and_photographs_are_not(folder: Path, tmp_path: Path) -> None:
    assert "Random inputs" not in _shown(folder)
    assert json.loads(to_json(Contents(deltann.load(folder))))["evidence"]["random_inputs"] is False
    drawn = write_run(tmp_path / "drawn", {"ort": {"y": ROUNDED}, "torch": {"y": ROUNDED}}, source="random:12")
    assert "rates of labels hold for noise, not for your data" in _shown(drawn.folder)
    assert json.loads(to_json(Contents(deltann.load(drawn))))["evidence"]["random_inputs"] is True


def test_self_noise_is_told_where_there_is_some(folder: Path) -> None:
    run = deltann.load(folder).run
    write_repeats(run, "ort", [{"y": ROUNDED[:4]}, {"y": ROUNDED[:4]}])
    assert "each of A gives the same bits" in _shown(folder) or "each environment gives the same bits" in _shown(folder)
    write_repeats(run, "tvm", [{"y": OFF[:4]}, {"y": OFF[:4] + NOISE[:4]}])
    shown = _shown(folder)
    assert "C tvm is not deterministic: output 'y': 4 samples run again differ by up to" in shown
    assert "C tvm OK NONDETERMINISM" in shown
    assert "A ort OK 1" in shown


def test_detection_power_is_told_with_what_was_missed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {"ort": {"y": ROUNDED}, "torch": {"y": ROUNDED}}, source="photographs")
    copies = tuple(
        Sabotaged(f"copy {number}", "graph", f"fault {number}", {"y": ROUNDED[:4] + np.float32(amount) * NOISE[:4]})
        for number, amount in enumerate((1.0, 0.5, 0.0))
    )
    write_sabotage(run, Sabotage("ort", {"y": ROUNDED[:4]}, copies))
    shown = _shown(run.folder)
    assert "Of 3 copies with a fault each, 2 are noticed" in shown
    assert "missed: graph: fault 2" in shown
    assert json.loads(to_json(Contents(deltann.load(run))))["evidence"]["power"]["model"]["noticed"] == 2
