"""deltann: will this model behave the same after I deploy it, and if not: where, why, how much, whose fault?

import deltann

result = deltann.compare("resnet50.onnx", backends=["torch", "ort", "tvm-O3"], inputs="images/", preprocess="imagenet")
result.verdict, result.pairs, result.cells, result.samples
result, timing = deltann.bench("resnet50.onnx", ["ort", "tvm-O3"])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deltann.environment import Environment
    from deltann.errors import UsageError
    from deltann.pytest_plugin.known import known_failure
    from deltann.result import Result, load
    from deltann.study import compare
    from deltann.timing.study import bench_model as bench

__all__ = ["Environment", "Result", "UsageError", "bench", "compare", "known_failure", "load"]

_HOMES = {
    "Environment": "deltann.environment",
    "UsageError": "deltann.errors",
    "Result": "deltann.result",
    "load": "deltann.result",
    "compare": "deltann.study",
    "bench": "deltann.timing.study",
    "known_failure": "deltann.pytest_plugin.known",
}
_OTHER_NAMES = {"bench": "bench_model"}


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import deltann` and `deltann --help` stay quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'deltann' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), _OTHER_NAMES.get(name, name))
