"""What the command imports: nothing heavy for help, no framework for lists, wherever it is."""

from __future__ import annotations

import json
import sys

import pytest

FRAMEWORKS = {"onnxruntime", "torch", "tvm", "tensorflow", "openvino", "tinygrad", "jax"}
SCRIPT = """
import json, sys
from deltann.cli import main
try:
    main(json.loads(sys.argv[1]))
except SystemExit as stop:
    print('\\n' + json.dumps([stop.code or 0, sorted({name.partition('.')[0] for name in sys.modules})]))
"""


@pytest.fixture
def imports(process):
    """The exit code of a command and the packages that it imported."""

    def of(*args):
        done = process(under=[sys.executable, "-c", SCRIPT, json.dumps(args), "--"])
        code, modules = json.loads(done.out.splitlines()[-1])
        return code, set(modules)

    return of


@pytest.mark.parametrize("args", [("--help",), ("--version",), ("compare", "--help"), ("backends", "--help")])
def test_help_imports_click_and_little_else(imports, args):
    code, modules = imports(*args)
    assert code == 0
    assert not modules & {"numpy", "onnx", "pandas", "scipy", "pyarrow", "PIL", "rich"}
    assert not modules & FRAMEWORKS
    assert not any(name.startswith("deltann_") for name in modules)


@pytest.mark.parametrize("args", [("backends",), ("backends", "show", "ort"), ("backends", "show", "torch")])
def test_backends_imports_no_framework(imports, args):
    code, modules = imports(*args)
    assert code == 0
    assert not modules & FRAMEWORKS
    assert not modules & {"pandas", "scipy", "pyarrow"}


BEFORE_WORKERS = """
import json, sys
import deltann.runner.spare
def started(log):
    print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))
    raise SystemExit(7)
deltann.runner.spare.WorkerProcess = started
from deltann.cli import main
main(json.loads(sys.argv[1]))
"""


@pytest.mark.parametrize("command", [("compare",), ("compare", "--bench"), ("bench",)])
def test_workers_start_before_anything_heavy_is_imported(process, command, models):
    """They import the same, which takes as long as the parent's own imports."""
    args = [*command, "--model", str(models / "classifier.onnx"), "--backends", "ort,ort-O0"]
    done = process(under=[sys.executable, "-c", BEFORE_WORKERS, json.dumps(args), "--"])
    assert done.code == 7, done.err
    assert not set(json.loads(done.out)) & {"numpy", "onnx", "pandas", "pyarrow", "PIL", "rich"}


def test_comparing_imports_no_framework_into_the_parent(imports, models, tmp_path):
    code, modules = imports("compare", "--model", str(models / "classifier.onnx"), "--inputs", "random:2",
                            "--backends", "reference,ort", "--out", str(tmp_path / "run"))  # fmt: skip
    assert code in (0, 3), "3 where one of them is not installed"
    assert not modules & FRAMEWORKS
