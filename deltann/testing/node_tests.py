"""The official node tests of onnx as parameters of a pytest test: a fixed part by default, all of them with `-m long`.

For adapters with an operator table of their own, which lower a node and run it in the test's process.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.backend.test.case.node import collect_testcases

Known = Mapping[str, tuple[type[Exception], str]]
"""By pattern of the tests' names: the exception and the reason of a failure."""


def node_tests(known: Known) -> list[Any]:
    """Every test as a `pytest.param`; what is known to fail is marked so, strictly."""
    return list(_marked(known))


def _marked(known: Known) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # onnx's generators divide by zero on purpose
        cases: list[Any] = collect_testcases(None)
    seen = set()
    for number, case in enumerate(cases):
        marks: list[Any] = []
        for pattern, (error, reason) in known.items():
            if fnmatchcase(case.name, pattern):
                marks.append(pytest.mark.xfail(raises=error, reason=reason, strict=True))
        operator = case.model.graph.node[0].op_type
        # The fixed part: the first case of each operator, and every fifth.
        if operator in seen and number % 5:
            marks.append(pytest.mark.long)
        seen.add(operator)
        yield pytest.param(case, id=case.name, marks=marks)


def not_in(cases: list[Any], known: Known) -> list[Any]:
    """The cases that no pattern names, without their marks."""
    fine = (param for param in cases if not any(fnmatchcase(str(param.id), pattern) for pattern in known))
    return [pytest.param(param.values[0], id=param.id) for param in fine]


def unmatched(cases: list[Any], known: Known) -> list[str]:
    """The patterns that name no case."""
    return [pattern for pattern in known if not any(fnmatchcase(str(param.id), pattern) for param in cases)]


def array(value: Any) -> Any:
    """A value of a case as a numpy array, or a list of them."""
    if isinstance(value, list):
        return [array(item) for item in value]
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def each(change: Any, value: Any) -> Any:
    """`change` done to a value, or to every item of a list; None stays."""
    if value is None:
        return None
    return [each(change, item) for item in value] if isinstance(value, list) else change(value)


def check(got: Any, want: Any, rtol: float, atol: float) -> None:
    """Assert that arrays, or lists of them, agree in type, shape and values.

    Raises:
        AssertionError: they do not.
    """
    if isinstance(want, list):
        assert isinstance(got, list)
        assert len(got) == len(want)
        for one, other in zip(got, want, strict=True):
            check(one, other, rtol, atol)
        return
    assert isinstance(got, np.ndarray)
    want = np.asarray(want)
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    if want.dtype.kind == "V":
        got, want = got.astype(np.float32), want.astype(np.float32)
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)
