"""The workflows are what GitHub takes, ask for no more rights than they need, and call what there is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from ci_files import ACTION, ROOT, WORKFLOWS, jobs, read, steps, taken
from matrix_scripts import plan

SCRIPTS = [(name, step["run"]) for name, step in steps() if "run" in step]


def test_there_is_something_to_test() -> None:
    assert [file.stem for file in WORKFLOWS] == ["ci", "nightly"]
    assert len(SCRIPTS) > 8


@pytest.mark.skipif(find_spec("check_jsonschema") is None, reason="check-jsonschema is not installed")
@pytest.mark.parametrize("file", [*WORKFLOWS, ACTION], ids=lambda file: file.name)
def test_github_takes_it(file: Path, tmp_path: Path) -> None:
    schema = "github-actions" if file == ACTION else "github-workflows"
    assert taken(schema, file) == ""
    spoilt = tmp_path / file.name
    spoilt.write_text(file.read_text().replace("run: |", "runs: |").replace("runs-on:", "runs_on:"))
    assert taken(schema, spoilt)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_may_read_and_no_more(file: Path) -> None:
    workflow = read(file)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    rights = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    assert rights == ({"publish": {"pages": "write", "id-token": "write"}} if file.stem == "nightly" else {})


@pytest.mark.parametrize(("name", "job"), list(jobs()))
def test_a_job_ends(name: str, job: dict[str, object]) -> None:
    assert isinstance(job["timeout-minutes"], int), name
    strategy = job.get("strategy")
    if isinstance(strategy, dict):
        assert strategy["fail-fast"] is False


def test_actions_are_pinned_and_keep_no_credentials() -> None:
    for name, step in steps():
        used = step.get("uses")
        if used is None or used == "./":
            continue
        assert re.fullmatch(r"actions/[a-z-]+(/[a-z]+)?@v\d+(\.\d+)*", used), f"{name}: {used}"
        if used.startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False, name


@pytest.mark.parametrize(("name", "script"), SCRIPTS)
def test_nothing_is_put_into_a_script(name: str, script: str) -> None:
    assert "${{" not in script, f"{name}: pass it as a variable"
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def called(word: str) -> list[str]:
    """The first operands of every call of `word` in the scripts."""
    return [target for _, script in SCRIPTS for target in re.findall(rf"\b{word}(?: --?\S+)* ([\w./-]+)", script)]


def test_every_target_that_a_workflow_makes_exists() -> None:
    targets = called("make")
    assert {"lint", "test", "test-backend", "matrix-row", "matrix-site", "matrix-plan"} <= set(targets)
    variables = {"BACKEND": "ort", "ROW": "ort"}
    for target in [*targets, "matrix", "nightly"]:
        done = subprocess.run(
            ["make", "--dry-run", target], cwd=ROOT, env={**os.environ, **variables}, capture_output=True, check=False
        )
        assert done.returncode == 0, (target, done.stderr)
    unknown = subprocess.run(["make", "--dry-run", "no-such-target"], cwd=ROOT, capture_output=True, check=False)
    assert unknown.returncode != 0


def made(target: str, **variables: str) -> str:
    """What `make` would run, with variables of the environment as a workflow gives them."""
    command = ["make", "--dry-run", "--always-make", target]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_workflows_variables_reach_the_command() -> None:
    assert '--session "backend(ort)"' in made("test-backend", BACKEND="ort")
    assert '--session "matrix(torch-cuda)" -- --bench --accept' in made(
        "matrix-row", ROW="torch-cuda", NEWEST="", NIGHTLY="--bench --accept"
    )
    assert '--session "newest(torch)"' in made("matrix-row", ROW="torch", NEWEST="1")
    assert re.search(r"run\.py .*--bench", made("nightly", NIGHTLY="--bench"))


def nightly_made(folder: Path, matrix: int, site: int, *options: str) -> tuple[int, list[str]]:
    """`make nightly` where the matrix and the site are commands that end with these codes; what ran, in order."""
    log = folder / "log"
    (folder / "bin").mkdir()
    for path, what, code in (("bin/python", "matrix", matrix), ("nox", "site", site)):
        file = folder / path
        file.write_text(f"#!/usr/bin/env bash\n[ {what} = site ] || sleep 0.2\necho {what} >> '{log}'\nexit {code}\n")
        file.chmod(0o755)
    old = ("build/photographs", "build/models/efficientnet_lite0.onnx", "build/models/resnet50.onnx", ".venv/.ready")
    done = subprocess.run(
        [
            *("make", "nightly", *options, f"BIN={folder}/bin", f"NOX={folder}/nox"),
            *(f"--old-file={file}" for file in (*old, f"{folder}/nox", "matrix-models")),
        ],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    named = re.search(r"Error (\d+)", done.stderr)
    assert bool(named) == bool(done.returncode), done.stderr
    return int(named[1]) if named else 0, log.read_text().split()


@pytest.mark.parametrize(
    ("matrix", "site", "code"), [(0, 0, 0), (1, 0, 1), (1, 5, 1), (0, 5, 5), (2, 0, 2)], ids=lambda code: str(code)
)
@pytest.mark.parametrize("options", [(), ("-j2",)], ids=["", "j2"])
def test_a_night_that_fails_is_published_and_fails(
    matrix: int, site: int, code: int, options: tuple[str, ...], tmp_path: Path
) -> None:
    assert nightly_made(tmp_path, matrix, site, *options) == (code, ["matrix", "site"])


@pytest.mark.parametrize("code", [0, 3])
def test_a_plan_that_fails_fails_its_step(code: int, tmp_path: Path) -> None:
    step = next(step for step in dict(jobs())["nightly/plan"]["steps"] if step.get("id") == "plan")
    (tmp_path / "make").write_text(f"#!/usr/bin/env bash\necho '[]'\nexit {code}\n")
    (tmp_path / "make").chmod(0o755)
    done = subprocess.run(
        ["bash", "-e", "-c", step["run"]],  # GitHub's own command where no shell is named
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_OUTPUT": str(tmp_path / "out")},
        check=False,
    )
    assert (done.returncode != 0) == (code != 0)
    if code == 0:
        assert re.fullmatch(r"rows=\[\]\nnight=\d{4}-\d\d-\d\d\n", (tmp_path / "out").read_text())


def test_the_gpu_build_is_pinned_as_the_cpus_and_installed_for_cuda_alone() -> None:
    pinned = plan.pinned()
    assert pinned["onnxruntime-gpu"] == pinned["onnxruntime"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [line for lines in project["optional-dependencies"].values() for line in lines] + project["dependencies"]
    assert not [line for line in asked if "onnxruntime-gpu" in line]
    rows = [row for row in plan.read().rows if any("onnxruntime-gpu" in name for name in (*row.packages, *row.newest))]
    assert {row.device for row in rows} == {"cuda"}


def test_two_attempts_of_a_night_do_not_share_a_key() -> None:
    keys = [step["with"]["key"] for name, step in steps() if "actions/cache/" in step.get("uses", "")]
    assert len(keys) == 3
    assert all("github.run_attempt" in key for key in keys)


def test_what_needs_a_name_says_so() -> None:
    for target, word in (("test-backend", "BACKEND=ort"), ("matrix-row", "ROW=torch-cuda")):
        # The launcher is not made for it: what is asked comes first.
        done = subprocess.run(
            ["make", "--old-file=build/nox/launcher/bin/nox", target],
            cwd=ROOT,
            env={**os.environ, "BACKEND": "", "ROW": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert word in done.stderr


def test_every_backend_is_a_row() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    matrix = read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["backend"]["strategy"]["matrix"]
    assert matrix["backend"] == sorted(project["entry-points"]["deltann.backends"])
    assert {row["backend"] for row in matrix["include"]} <= set(matrix["backend"])


@pytest.mark.skipif(find_spec("nox") is None, reason="nox is not installed")
def test_every_row_is_a_session_of_nox() -> None:
    done = subprocess.run([sys.executable, "-m", "nox", "--list"], cwd=ROOT, capture_output=True, text=True, check=True)
    sessions = set(re.findall(r"^[*-] (\S+)", done.stdout, re.MULTILINE))
    for job in plan.jobs(plan.read()):
        assert f"{'newest' if job['newest'] else 'matrix'}({job['row']})" in sessions
    for name in read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["backend"]["strategy"]["matrix"]["backend"]:
        assert f"backend({name})" in sessions


def browser(folder: Path, commands: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`.ci/chromium` where only these commands exist: by name, their script."""
    for name, script in commands.items():
        (folder / name).write_text(f"#!{shutil.which('bash')}\n{script}\n")
        (folder / name).chmod(0o755)
    for name in ("env", "chmod", "touch"):
        (folder / name).symlink_to(shutil.which(name) or name)
    return subprocess.run(
        [shutil.which("bash") or "bash", str(ROOT / ".ci" / "chromium")],
        env={"PATH": str(folder), "HERE": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


INSTALL = 'case "$*" in *install*chromium*) touch "$HERE/chromium"; chmod +x "$HERE/chromium";; esac'


@pytest.mark.parametrize(
    ("commands", "code", "said"),
    [
        ({"google-chrome": ""}, 0, "google-chrome"),
        ({"id": "echo 0", "apt-get": INSTALL}, 0, ""),
        ({"id": "echo 1000", "sudo": 'exec "$@"', "apt-get": INSTALL}, 0, ""),
        ({"id": "echo 1000", "apt-get": INSTALL}, 1, "no right to install one"),
        ({"id": "echo 0", "apt-get": "exit 100"}, 100, ""),
        ({"id": "echo 0", "apt-get": ""}, 1, "installed no command 'chromium'"),
    ],
)
def test_a_browser_is_there_or_installed_or_ci_fails(
    commands: dict[str, str], code: int, said: str, tmp_path: Path
) -> None:
    done = browser(tmp_path, commands)
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr


def test_ci_has_its_browser_before_it_tests() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert lines.index(".ci/chromium") < lines.index("make test")
    runs = [step["run"] for step in dict(jobs())["ci/test"]["steps"] if "run" in step]  # type: ignore[attr-defined]
    assert runs.index(".ci/chromium") < runs.index("make test")
    assert all(os.access(ROOT / ".ci" / name, os.X_OK) for name in ("run", "chromium"))
