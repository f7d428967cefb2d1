"""The pre-commit hook: each model of a commit is compared, and one that differs fails the commit."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from deltann.hook import main, split
from deltann.store import open_run
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


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runs go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_models_are_the_last_arguments() -> None:
    assert split(["--backends=a,b", "x.onnx", "y.onnx"]) == (["--backends=a,b"], ["x.onnx", "y.onnx"])
    assert split(["--against=old.onnx", "x.onnx"]) == (["--against=old.onnx"], ["x.onnx"])
    assert split(["--labels", "labels.csv"]) == (["--labels", "labels.csv"], [])
    assert split([]) == ([], [])


@pytest.mark.parametrize(
    ("backends", "code", "number"), [("reference,faulty", 0, 1), ("reference,faulty-wrong[amount=0.5]", 1, 2)]
)
def test_every_model_is_compared_and_what_fails_is_kept(
    backends: str,
    code: int,
    number: int,
    models: list[str],
    temporary: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("DELTANN_BACKENDS", f"faulty={ENTRY}")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    models = models[:number]
    assert main([f"--backends={backends}", "--inputs=random:4", *models]) == code
    out, err = capfd.readouterr()
    assert len(re.findall(r"^(AGREE|DIFFER): ", out, re.MULTILINE)) == len(models)
    assert sorted(tmp_path.iterdir()) == before  # nothing is left in the repository
    kept = re.findall(r"^deltann: the run is kept in (.*)$", err, re.MULTILINE)
    assert len(kept) == (len(models) if code else 0)
    assert sorted(temporary.iterdir()) == sorted(Path(run).parent for run in kept)
    assert [open_run(run).cells[1].environment for run in kept] == ["faulty-wrong[amount=0.5]"] * len(kept)


@pytest.mark.parametrize("name", ["-evil.onnx", "--out=evil.onnx", "-folder/evil.onnx"])
def test_a_file_that_looks_like_an_option_fails(
    name: str, models: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(Path(models[0]).read_bytes())
    for files in ([name], [name, models[0]], [models[0], name]):
        assert main(["--backends=reference,faulty", *files]) == 2
        assert f"{name!r} would be read as an option: rename that file" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--backends=reference"], ["--against=no-such.onnx"]])
def test_nothing_to_compare_fails(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "nothing to compare" in capsys.readouterr().err


def test_the_hook_is_what_pre_commit_calls(models: list[str], temporary: Path, tmp_path: Path) -> None:
    """In a repository that has a folder `deltann` of its own, and hostile."""
    (tmp_path / "deltann").mkdir()
    for module in ("__init__", "hook", "cli"):
        (tmp_path / "deltann" / f"{module}.py").write_text("open('pwned', 'w')\n")
    assert HOOK["language"] == "python"
    for file, taken in (("models/net.onnx", True), ("-net.onnx", True), ("net.tflite", False), ("net.onnx.md", False)):
        assert bool(re.search(HOOK["files"], file)) == taken, file
    python, *rest = shlex.split(HOOK["entry"])
    assert python == "python"
    done = subprocess.run(
        [sys.executable, *rest, "--backends=reference", "--inputs=random:2", models[0]],
        cwd=tmp_path,
        env={"TMPDIR": str(temporary), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "one environment alone has nothing to agree with" in done.stderr
    assert not (tmp_path / "pwned").exists()
    assert list(temporary.iterdir()) == []  # nothing ran, nothing is kept
    assert HOOK["args"] == ["--backends=ort-O0,ort"]
    assert any(line.startswith("onnxruntime") for line in HOOK["additional_dependencies"])


def test_the_pages_promise_no_other_files() -> None:
    page = (ROOT / "docs" / "ci.md").read_text()
    section = page[page.index("## Before a commit") :].split("\n## ")[0]
    assert "Each `.onnx` file" in section
    assert ".tflite" not in section
