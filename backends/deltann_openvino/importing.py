"""Importing OpenVINO and NNCF without what they bring along: telemetry, which is on by default, and torch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, cast

from deltann.errors import Unavailable


def import_openvino() -> Any:
    """OpenVINO, which reports its own import to its makers unless the package for that cannot be imported.

    Raises:
        Unavailable: it is not installed.
    """
    if find_spec("openvino") is None:
        raise Unavailable("OpenVINO is not installed: pip install 'deltann[openvino]'")
    # None in `sys.modules` makes the import an ImportError, which both packages take for "not installed".
    cast("dict[str, Any]", sys.modules).setdefault("openvino_telemetry", None)
    import openvino

    return openvino


def import_nncf() -> Any:
    """NNCF, quiet but for errors.

    Raises:
        Unavailable: it is not installed.
    """
    import_openvino()
    if find_spec("nncf") is None:
        raise Unavailable("int8 needs NNCF, which is not installed: pip install 'deltann[openvino]'")
    with without_torch():
        import nncf

    nncf.set_log_level(40)
    return nncf


@contextmanager
def without_torch() -> Iterator[None]:
    """NNCF imports torch where it finds one: two seconds, and another thread pool beside OpenVINO's."""
    modules = cast("dict[str, Any]", sys.modules)
    hidden = "torch" not in modules
    if hidden:
        modules["torch"] = None
    try:
        yield
    finally:
        if hidden:
            del modules["torch"]
