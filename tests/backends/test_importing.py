"""Backends that import their framework before the model is known."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

_CHILD = """
import sys
from deltann import registry
from deltann.backend import Importing
from deltann.environment import Environment
spec, framework = sys.argv[1:]
environment = Environment.parse(spec)
backend = registry.get(environment.backend)
assert isinstance(backend, Importing)
assert framework not in sys.modules
backend.import_framework(environment)
assert framework in sys.modules
others = {"torch", "tensorflow", "keras", "tvm", "onnxruntime"} - {framework}
assert not others & set(sys.modules), others & set(sys.modules)
"""


@pytest.mark.parametrize(
    ("spec", "framework"), [("torch-compile", "torch"), ("tf[threads=1]", "tensorflow"), ("tvm-O1", "tvm")]
)
def test_the_framework_is_imported_and_no_other(spec: str, framework: str) -> None:
    if find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    subprocess.run([sys.executable, "-c", _CHILD, spec, framework], check=True)
