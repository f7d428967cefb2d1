"""What the plugin imports into the runs of people who do not use it, and into those that only collect."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys, pytest
code = pytest.main(["--co", "-q", "-p", "no:cacheprovider", *sys.argv[1:]])
print("\\n" + json.dumps([int(code), sorted(sys.modules)]))
"""
OURS = {"deltann", "deltann.pytest_plugin", "deltann.pytest_plugin.plugin"}
HEAVY = {"numpy", "onnx", "pandas", "pyarrow", "scipy", "PIL", "rich", "click", "matplotlib", "jinja2"}
MARKED = """
import pytest
from deltann import known_failure

@known_failure("ort", reason="…", until=">=99")
@pytest.mark.deltann(model="model.onnx", backends=["torch", "ort", "tvm-O3"])
def test_it(deltann):
    deltann.assert_agree()
"""


@pytest.fixture
def collected(tmp_path):
    """The exit code of `pytest --co` on some source, and the modules that it imported."""

    def collect(source="", *args):
        if source:
            (tmp_path / "test_it.py").write_text(source)
        command = [sys.executable, "-c", SCRIPT, "--rootdir", str(tmp_path), *args, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
        code, modules = json.loads(done.stdout.splitlines()[-1])
        return code, set(modules)

    return collect


def test_an_empty_project_imports_the_hooks_alone(collected):
    code, modules = collected()
    _, without = collected("", "-p", "no:deltann")
    assert code == pytest.ExitCode.NO_TESTS_COLLECTED
    assert modules - without == OURS


def test_collecting_marked_tests_imports_nothing_heavy(collected):
    code, modules = collected(MARKED, "--deltann-backends", "torch,ort")
    assert code == 0
    assert "deltann.pytest_plugin.request" in modules
    assert not modules & HEAVY


def test_the_check_would_see_something_heavy(collected):
    _, modules = collected(MARKED + "\nimport deltann.study")
    assert {"numpy", "onnx"} <= modules
