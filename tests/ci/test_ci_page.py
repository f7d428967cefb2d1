"""What docs/ci.md shows is what GitHub and GitLab take, and names what there is."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

sys.path.insert(0, str(Path(__file__).parent))
from ci_files import ACTION, ROOT, read, taken

PAGE = (ROOT / "docs" / "ci.md").read_text()
SNIPPETS = [YAML(typ="safe").load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
STEP, WORKFLOW, GITLAB, PRE_COMMIT = SNIPPETS


def against(schema: str, content: Any, file: Path) -> str:
    with file.open("w") as stream:
        YAML(typ="safe").dump(content, stream)
    return taken(schema, file)


@pytest.mark.skipif(find_spec("check_jsonschema") is None, reason="check-jsonschema is not installed")
def test_they_are_taken(tmp_path: Path) -> None:
    job = {"runs-on": "ubuntu-24.04", "steps": STEP}
    whole = {"on": "push", "jobs": {"deltann": job}}
    for schema, content in (("github-workflows", whole), ("github-workflows", WORKFLOW), ("gitlab-ci", GITLAB)):
        assert against(schema, content, tmp_path / "snippet.yml") == ""
    assert against("github-workflows", {"on": "push", "jobs": {"a": {"steps": 1}}}, tmp_path / "x.yml")


def test_the_action_takes_what_they_give() -> None:
    inputs, outputs = read(ACTION)["inputs"], read(ACTION)["outputs"]
    used = [step for step in (*STEP, *WORKFLOW["jobs"]["deltann"]["steps"]) if "OWNER/deltann@" in step.get("uses", "")]
    assert len(used) == 2
    needed = {name for name, entry in inputs.items() if entry.get("required")}
    for step in used:
        assert needed <= step["with"].keys() <= inputs.keys()
    for name in re.findall(r"outputs\.([\w-]+)", PAGE):
        assert name in outputs
    for name in inputs:
        assert f"`{name}`" in PAGE, name
    assert len(STEP[0]["with"]) + 1 == 5  # five lines, `with` apart


def test_a_fork_gets_no_comment_for_which_it_has_no_right() -> None:
    (comment,) = (step for step in WORKFLOW["jobs"]["deltann"]["steps"] if "gh pr comment" in step.get("run", ""))
    assert "github.event.pull_request.head.repo.full_name == github.repository" in comment["if"]
    assert "--edit-last" in comment["run"]
    assert "last comment of `github-actions[bot]`" in PAGE


def test_a_matrix_names_its_artifacts_apart() -> None:
    default = read(ACTION)["inputs"]["artifact"]["default"]
    assert "${{" not in default  # the same for every job of a matrix, which the page says
    assert f"artifact: {default}-${{{{ matrix.model }}}}" in PAGE


def test_the_hook_is_one_of_ours() -> None:
    ours = {hook["id"] for hook in read(ROOT / ".pre-commit-hooks.yaml")}
    assert {hook["id"] for repo in PRE_COMMIT["repos"] for hook in repo["hooks"]} <= ours


def test_the_commands_are_targets() -> None:
    block = PAGE[PAGE.index("    make lint") :].partition("\n\n")[0]
    commands = [line.split("#")[0].split() for line in block.splitlines()]
    assert len(commands) >= 7
    for command in commands:
        done = subprocess.run([*command, "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stderr)
