"""`docs/native-models.md`, followed to the letter: its program run, its output compared."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "native-models.md"


def test_the_program_prints_what_the_page_says(tmp_path: Path) -> None:
    for needed in ("torch", "onnxscript", "onnxruntime"):
        pytest.importorskip(needed)
    text = PAGE.read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.S)
    told = re.findall(r"^    (.+)$", text.replace(program, ""), re.M)
    (tmp_path / "page.py").write_text(program)
    ran = subprocess.run(
        [sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True
    )
    assert ran.stdout.splitlines() == told
    assert (tmp_path / "runs" / "native" / "exported" / "Sequential.onnx").is_file()
