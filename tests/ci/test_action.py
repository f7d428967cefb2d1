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


def compare(
    folder: Path, model: str | Path, backends: str, deltann: Path = DELTANN, **inputs: str
) -> tuple[int, dict[str, str], str]:
    """Exit code, outputs and what the step wrote to stderr."""
    values = {f"inputs.{name.replace('_', '-')}": value for name, value in inputs.items()}
    values |= {"inputs.model": str(model), "inputs.backends": backends, "steps.install.outputs.deltann": str(deltann)}
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
def test_inputs_are_never_run(inputs: dict[str, str], tmp_path: Path) -> None:
    """They reach deltann as they are, which a command in its place writes down."""
    stub = tmp_path / "deltann"
    stub.write_text('#!/usr/bin/env bash\nprintf \'%s\\0\' "$@" > "$RUNNER_TEMP/asked"\nexit 2\n')
    stub.chmod(0o755)
    code, _, _ = compare(tmp_path, "x.onnx; touch pwned", "reference,`touch pwned`", stub, **inputs)
    assert code == 2
    assert list((tmp_path / "work").iterdir()) == []
    asked = (tmp_path / "temp" / "asked").read_text().split("\0")
    assert asked[:3] == ["compare", "--model=x.onnx; touch pwned", "--backends=reference,`touch pwned`"]
    ((name, value),) = inputs.items()
    given = value.splitlines() if name == "arguments" else [f"--{name.replace('_', '-')}={value}"]
    assert asked[4 : 4 + len(given)] == given


@pytest.mark.parametrize("model", ["$(touch pwned).onnx", "--help"])
def test_a_hostile_name_is_a_name(model: str, tmp_path: Path) -> None:
    assert compare(tmp_path, model, "reference,faulty")[0] == 2
    assert list((tmp_path / "work").iterdir()) == []


PYTHON = """#!/usr/bin/env bash
mkdir -p "$3/bin"
cat > "$3/bin/pip" <<'END'
#!/usr/bin/env bash
printf '%s\\n' "$@" > "$RUNNER_TEMP/asked"
printf '%s' "$PIP_EXTRA_INDEX_URL" > "$RUNNER_TEMP/index"
END
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
    install(tmp_path, **values)
    asked = (tmp_path / "temp" / "asked").read_text().splitlines()
    assert asked == ["install", "--quiet", "--constraint", "/the action/constraints.txt", f"/the action[{extras}]"]


def install(folder: Path, *, job: str = "", **values: str) -> Path:
    """Run the step with a pip that writes down what it is asked; the `deltann` that the step names."""
    stubs = folder / "stubs"
    stubs.mkdir(exist_ok=True)
    (stubs / "python").write_text(PYTHON)
    (stubs / "python").chmod(0o755)
    given = {f"inputs.{name}": value for name, value in values.items()} | {"github.action_path": "/the action"}
    path = f"{stubs}{os.pathsep}{os.environ['PATH']}"
    done = run_step(INSTALL, folder, given, PATH=path, PIP_EXTRA_INDEX_URL=job)
    assert done.returncode == 0, done.stderr
    name, _, value = (folder / "github_output").read_text().splitlines()[-1].partition("=")
    assert name == "deltann"
    return Path(value)


def test_a_second_call_in_a_job_has_an_environment_of_its_own(tmp_path: Path) -> None:
    first, second = (install(tmp_path, backends=backends) for backends in ("ort", "torch"))
    assert first != second
    for deltann in (first, second):
        assert deltann.parts[-2:] == ("bin", "deltann")
        assert deltann.is_relative_to(tmp_path / "temp")
        assert deltann.with_name("pip").is_file()


@pytest.mark.parametrize(
    ("job", "given", "index"),
    [
        ("", None, DEFAULTS["pip-extra-index-url"]),
        ("https://own/simple", None, f"https://own/simple {DEFAULTS['pip-extra-index-url']}"),
        ("https://own/simple", "", "https://own/simple"),
        ("", "https://other/simple", "https://other/simple"),
    ],
)
def test_the_jobs_own_index_stays(job: str, given: str | None, index: str, tmp_path: Path) -> None:
    install(tmp_path, job=job, backends="ort", **({} if given is None else {"pip-extra-index-url": given}))
    assert (tmp_path / "temp" / "index").read_text() == index


def test_every_input_is_used_and_described() -> None:
    used = " ".join(text for step in (INSTALL, COMPARE) for text in step["env"].values()) + ACTION.read_text()
    for name, entry in read(ACTION)["inputs"].items():
        assert f"inputs.{name} " in used
        assert entry["description"].endswith(".")


def test_the_constraints_that_it_installs_by_are_there() -> None:
    assert (ROOT / "constraints.txt").is_file()
