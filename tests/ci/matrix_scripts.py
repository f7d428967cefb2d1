"""The scripts of experiments/05_matrix, under names of their own: theirs, such as `run`, are anybody's."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[2] / "experiments" / "05_matrix"
_IN_ORDER = ("plan", "records", "trend", "publish", "run")
"""Each imports those before it alone."""


def _loaded() -> dict[str, ModuleType]:
    before = {name: sys.modules.get(name) for name in _IN_ORDER}
    found: dict[str, ModuleType] = {}
    try:
        for name in _IN_ORDER:
            unique = f"deltann_matrix_{name}"
            if unique not in sys.modules:
                spec = spec_from_file_location(unique, FOLDER / f"{name}.py")
                assert spec is not None
                assert spec.loader is not None
                sys.modules[unique] = module_from_spec(spec)
                spec.loader.exec_module(sys.modules[unique])
            sys.modules[name] = found[name] = sys.modules[unique]  # for those that import it
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module
    return found


_SCRIPTS = _loaded()
plan, records, trend, publish, run = (_SCRIPTS[name] for name in _IN_ORDER)
