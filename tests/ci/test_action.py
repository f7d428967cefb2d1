"""The action's own shell steps, run as GitHub would run them: on models that agree and differ, on hostile inputs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from deltann.testing.faulty import ENTRY
from deltann.testing.models import MODELS

sys.path.insert(0, str(Path(__file__).parent))
from ci_files import ACTION, ROOT, read

DELTANN = Path(sys.executable).with_name("deltann")
INSTALL, COMPARE = (step for step in read(ACTION)["runs"]["steps"] if "run" in step)
DEFAULTS = {name: entry.get("default", "") for name, entry in read(ACTION)["inputs"].items()}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(MODELS["classifier"]().save(tmp_path_factory.mktemp("model")).path)


def run_step(step: dict[str, Any], folder: Path, values: dict[str, str], **variables: str) -> Any:
    """Run a step with these inputs and outputs of earlier steps; the finished process."""
    (folder / "temp").mkdir(exist_ok=True)
    given = {f"inputs.{name}": value for name, value in DEFAULTS.items()} | values
    env = {name: given[text.strip("${} ")] for name, text in step["env"].items()}
    github = {name: str(folder / name.lower()) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    (folder / "work").mkdir(exist_ok=True)
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],  # GitHub's own command for `bash`
        cwd=folder / "work",
        env={**os.environ, **env, **github, "RUNNER_TEMP": str(folder / "temp"), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def compare(folder: Path, model: str | Path, backends: str, **inputs: str) -> tuple[int, dict[str, str], str]:
    """Exit code, outputs and what the step wrote to stderr."""
    values = {f"inputs.{name.replace('_', '-')}": value for name, value in inputs.items()}
    values |= {"inputs.model": str(model), "inputs.backends": backends, "steps.install.outputs.deltann": str(DELTANN)}
    done = run_step(COMPARE, folder, values, DELTANN_EVIDENCE="none", DELTANN_BACKENDS=f"faulty={ENTRY}")
    file = folder / "github_output"
    outputs = dict(line.split("=", 1) for line in file.read_text().splitlines()) if file.is_file() else {}
    return done.returncode, outputs, done.stderr


def test_models_that_agree_pass_and_leave_their_reports(model: Path, tmp_path: Path) -> None:
    code, outputs, _ = compare(
        tmp_path, model, "faulty,reference", inputs="random:4", reference="reference", arguments="--limit=3\n"
    )
    assert code == 0
    assert outputs["exit-code"] == "0"
    reports = Path(outputs["reports"])
    assert {file.name for file in reports.iterdir()} >= {"report.html", "report.json", "junit.xml", "summary.md", "run"}
    assert (tmp_path / "github_step_summary").read_text() == (reports / "summary.md").read_text() != ""
    assert not [case for case in ElementTree.parse(reports / "junit.xml").iter("testcase") if len(case)]


def test_models_that_differ_fail_and_the_summary_says_so(model: Path, tmp_path: Path) -> None:
    code, outputs, _ = compare(tmp_path, model, "reference,faulty-wrong[amount=0.5]", inputs="random:4")
    assert code == 1
    assert outputs["exit-code"] == "1"
    assert "DIFFER" in (tmp_path / "github_step_summary").read_text()
    assert list(ElementTree.parse(Path(outputs["reports"]) / "junit.xml").iter("failure"))


def test_a_wrong_request_says_what_is_wrong(model: Path, tmp_path: Path) -> None:
    code, outputs, stderr = compare(tmp_path, model, "no-such-backend")
    assert code == 2
    assert outputs["exit-code"] == "2"
    assert "no backend 'no'" in stderr


@pytest.mark.parametrize(
    "inputs",
    [
        {"inputs": "$(touch pwned)"},
        {"preprocess": "`touch pwned`"},
        {"reference": "'; touch pwned; '"},
        {"arguments": "--limit=3; touch pwned\n$(touch pwned)\n"},
        {"max_disagreement": '1%" && touch pwned && "'},
    ],
)
def test_inputs_are_never_run(inputs: dict[str, str], model: Path, tmp_path: Path) -> None:
    code, _, _ = compare(tmp_path, model, "reference,faulty", **inputs)
    assert code == 2
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("model", ["$(touch pwned).onnx", "--help", "; touch pwned"])
def test_a_hostile_name_is_a_name(model: str, tmp_path: Path) -> None:
    assert compare(tmp_path, model, "reference,faulty")[0] == 2
    assert list((tmp_path / "work").iterdir()) == []


PYTHON = """#!/usr/bin/env bash
mkdir -p "$3/bin"
printf '#!/usr/bin/env bash\\nprintf "%%s\\\\n" "$@" > "$RUNNER_TEMP/asked"\\n' > "$3/bin/pip"
chmod +x "$3/bin/pip"
"""


@pytest.mark.parametrize(
    ("values", "extras"),
    [
        ({"backends": "torch,ort-O1,tvm-O3"}, "html,ort,torch,tvm"),
        ({"backends": "torch-compile:cuda, torch[threads=1,precision=float64],reference"}, "html,torch"),
        ({"backends": "ort,ort@1.20.1[threads=2]"}, "html,ort,versions"),
        ({"backends": "reference"}, "html"),
        ({"backends": "ort", "extras": "tflite"}, "html,tflite"),
    ],
)
def test_what_is_installed_is_what_the_backends_need(values: dict[str, str], extras: str, tmp_path: Path) -> None:
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    (stubs / "python").write_text(PYTHON)
    (stubs / "python").chmod(0o755)
    given = {f"inputs.{name}": value for name, value in values.items()} | {"github.action_path": "/the action"}
    done = run_step(INSTALL, tmp_path, given, PATH=f"{stubs}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "temp" / "asked").read_text().splitlines()
    assert asked == ["install", "--quiet", "--constraint", "/the action/constraints.txt", f"/the action[{extras}]"]
    installed = (tmp_path / "github_output").read_text()
    assert installed == f"deltann={tmp_path}/temp/deltann-venv/bin/deltann\n"


def test_every_input_is_used_and_described() -> None:
    used = " ".join(text for step in (INSTALL, COMPARE) for text in step["env"].values()) + ACTION.read_text()
    for name, entry in read(ACTION)["inputs"].items():
        assert f"inputs.{name} " in used
        assert entry["description"].endswith(".")


def test_the_constraints_that_it_installs_by_are_there() -> None:
    assert (ROOT / "constraints.txt").is_file()
