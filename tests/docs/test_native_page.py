"""`docs/native-models.md`, followed to the letter: its program run, its output compared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "native-models.md"


def test_the_program_prints_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for needed in ("torch", "onnxscript", "onnxruntime"):
        pytest.importorskip(needed)
    text = PAGE.read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.S)
    told = re.findall(r"^    (.+)$", text.replace(program, ""), re.M)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DELTANN_CACHE", str(tmp_path / "cache"))
    exec(compile(program, str(PAGE), "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.splitlines() == told
    assert (tmp_path / "runs" / "native" / "exported" / "Sequential.onnx").is_file()
