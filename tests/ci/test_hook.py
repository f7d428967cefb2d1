"""The pre-commit hook: each model of a commit is compared, and one that differs fails the commit."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from deltann.hook import main, split
from deltann.testing.faulty import ENTRY
from deltann.testing.models import MODELS

sys.path.insert(0, str(Path(__file__).parent))
from ci_files import ROOT, read

(HOOK,) = read(ROOT / ".pre-commit-hooks.yaml")


@pytest.fixture
def models(tmp_path: Path) -> list[str]:
    found = []
    for name in ("classifier", "two_outputs"):
        (tmp_path / name).mkdir()
        found.append(str(MODELS[name]().save(tmp_path / name).path))
    return found


def test_models_are_the_last_arguments() -> None:
    assert split(["--backends=a,b", "x.onnx", "y.tflite"]) == (["--backends=a,b"], ["x.onnx", "y.tflite"])
    assert split(["--against=old.onnx", "x.onnx"]) == (["--against=old.onnx"], ["x.onnx"])
    assert split(["--labels", "labels.csv"]) == (["--labels", "labels.csv"], [])
    assert split([]) == ([], [])


@pytest.mark.parametrize(("backends", "code"), [("reference,faulty", 0), ("reference,faulty-wrong[amount=0.5]", 1)])
def test_every_model_is_compared(
    backends: str,
    code: int,
    models: list[str],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("DELTANN_BACKENDS", f"faulty={ENTRY}")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert main([f"--backends={backends}", "--inputs=random:4", *models]) == code
    assert len(re.findall(r"^(AGREE|DIFFER): ", capfd.readouterr().out, re.MULTILINE)) == len(models)
    assert sorted(tmp_path.iterdir()) == before  # nothing is left in the repository


def test_the_hook_is_what_pre_commit_calls(models: list[str]) -> None:
    assert HOOK["language"] == "python"
    assert re.search(HOOK["files"], "models/net.onnx")
    assert re.search(HOOK["files"], "net.tflite")
    assert not re.search(HOOK["files"], "net.onnx.md")
    command = [sys.executable, *shlex.split(HOOK["entry"])[1:], "--backends=reference", "--inputs=random:2", *models]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "one environment alone has nothing to agree with" in done.stderr
    assert HOOK["args"] == ["--backends=ort-O0,ort"]
    assert any(line.startswith("onnxruntime") for line in HOOK["additional_dependencies"])
