"""What importing deltann brings along."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys

import deltann

_FRAMEWORKS = {"torch", "tensorflow", "tvm", "onnxruntime", "jax", "openvino", "iree", "tract", "tinygrad", "ray"}
_TELL = "import json, sys; sys.stderr.write(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"


def _modules_after(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", f"{code}\n{_TELL}"], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr))


def test_the_core_imports_no_framework() -> None:
    """Every module of it, those of the command line and of the tests' tools included."""
    names = [
        module.name
        for module in pkgutil.walk_packages(deltann.__path__, "deltann.")
        if not module.name.endswith("__main__")
    ]
    assert len(names) > 30
    modules = _modules_after("import importlib\n" + "\n".join(f"importlib.import_module({name!r})" for name in names))
    assert not modules & _FRAMEWORKS


def test_the_check_would_see_a_framework() -> None:
    assert "onnx" in _modules_after("import deltann.model")


def test_importing_deltann_alone_is_light() -> None:
    assert not _modules_after("import deltann") & {
        "numpy",
        "onnx",
        "pandas",
        "pyarrow",
        "scipy",
        "PIL",
        "rich",
        *_FRAMEWORKS,
    }


def test_the_worker_needs_numpy_and_onnx_alone() -> None:
    """It runs under another interpreter, in an environment that holds nothing else beside the framework."""
    modules = _modules_after("import deltann.runner.worker, deltann.testing.probe")
    assert not modules & {"pandas", "pyarrow", "scipy", "PIL", "rich", "click", "pytest", *_FRAMEWORKS}
