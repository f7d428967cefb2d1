"""The test cases that the installed onnx brings: its node tests, and the models in the other folders of its wheel.

Suites: `node` (a node each, and the bodies of the functions that define some operators), `simple`,
`pytorch-converted`, `pytorch-operator`, and `light`. The `light` ones are networks whose weights are constants, so
that their outputs hardly depend on anything: passing them tells that the model can be imported and run, no more.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

SUITES = ("node", "simple", "pytorch-converted", "pytorch-operator", "light")
IMPORT_CHECKS = "light"
"""The suite that tells nothing of the answers."""
_RANDOM = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
_LIGHT = "onnx/backend/test/data/light/"

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Case:
    """What a table says of a case. `operator` is the one that a node test is about, "" elsewhere.

    `untested` is why no backend is given it, "" where they are.
    """

    name: str
    suite: str
    operator: str = ""
    untested: str = ""


@dataclass(frozen=True)
class Collected:
    """A case with its model and data, in the order of the model's inputs and outputs; no data where `untested`."""

    case: Case
    proto: onnx.ModelProto
    inputs: Sequence[Array]
    expected: Sequence[Array]
    rtol: float
    atol: float


@cache
def collect() -> tuple[Collected, ...]:
    """Every case, suite by suite, names in order; the same ones, with the same data, for one version of onnx."""
    found = [*_node_cases(), *_folder_cases()]
    found.sort(key=lambda one: (SUITES.index(one.case.suite), one.case.name))
    names = [one.case.name for one in found]
    assert len(set(names)) == len(names), "two cases have one name"
    return tuple(found)


def _node_cases() -> Iterator[Collected]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # onnx's generators divide by zero on purpose
        from onnx.backend.test.case.node import collect_testcases

        cases: list[Any] = collect_testcases(None)
    # The body of a function is a case that follows the function's own: `test_gelu_expanded`, `…_expanded_ver18`.
    operators = {case.name: _operator(case.model.graph.node[0]) for case in cases}
    for case in cases:
        base = re.sub(r"_expanded(_ver\d+)?$", "", case.name)
        operator = operators.get(base, operators[case.name])
        yield from _sets(case, "node", operator, case.model, case.data_sets)


def _operator(node: onnx.NodeProto) -> str:
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


def _folder_cases() -> Iterator[Collected]:
    from onnx.backend.test.loader import load_model_tests

    for suite in SUITES[1:]:
        for case in load_model_tests(kind="real" if suite == IMPORT_CHECKS else suite):
            if case.model_dir is not None:
                folder = Path(case.model_dir)
                sets = [_read_set(item) for item in sorted(folder.glob("test_data_set_*"))]
                yield from _sets(case, suite, "", onnx.load(folder / "model.onnx"), sets)
            elif case.url is not None and case.url.startswith(_LIGHT):  # any other would have to be downloaded
                file = Path(onnx.__file__).parents[1] / case.url
                proto = onnx.load(file)
                outputs = [file.with_name(f"{file.stem}_output_{n}.pb") for n in range(len(proto.graph.output))]
                inputs = [_ramp(value) for value in _fed(proto)]
                yield from _sets(case, suite, "", proto, [(inputs, [path.read_bytes() for path in outputs])])


def _read_set(folder: Path) -> tuple[list[Any], list[Any]]:
    """The bytes of the inputs and of the outputs, by their number."""
    sides = []
    for kind in ("input", "output"):
        files = sorted(folder.glob(f"{kind}_*.pb"), key=lambda file: int(file.stem.rpartition("_")[2]))
        sides.append([file.read_bytes() for file in files])
    return sides[0], sides[1]


def _ramp(value: onnx.ValueInfoProto) -> Array:
    """What onnx's own runner feeds its `light` models: float32, k / size at element k."""
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else 1 for dim in value.type.tensor_type.shape.dim)
    size = int(np.prod(shape))
    return np.asarray((np.arange(size).reshape(shape) / size).astype(np.float32))


def _sets(test: Any, suite: str, operator: str, proto: onnx.ModelProto, sets: Sequence[Any]) -> Iterator[Collected]:
    """A case for each set of data."""
    for number, (inputs, expected) in enumerate(sets):
        reason = _untested(proto, inputs, expected)
        case = Case(test.name + (f"_set{number}" if number else ""), suite, operator, reason)
        if reason:
            yield Collected(case, proto, [], [], test.rtol, test.atol)
            continue
        given, wanted = [_array(value) for value in inputs], [_array(value) for value in expected]
        if _is_random(proto, given):
            case = Case(case.name, suite, operator, "its outputs are random")
        yield Collected(case, proto, given, wanted, test.rtol, test.atol)


def _fed(proto: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs that are no initializers."""
    initialised = {tensor.name for tensor in proto.graph.initializer}
    return [value for value in proto.graph.input if value.name not in initialised]


def _untested(proto: onnx.ModelProto, inputs: Sequence[Any], expected: Sequence[Any]) -> str:
    values = [*_fed(proto), *proto.graph.output]
    if len(values) != len(inputs) + len(expected):
        return "it has data for some of its inputs or outputs only"
    for value in values:
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type":
            return f"values of {kind.removesuffix('_type')} type, which .npy files cannot hold"
        element = value.type.tensor_type.elem_type
        dtype = onnx.helper.tensor_dtype_to_np_dtype(element)
        # 1: numpy's own types; those that ml_dtypes adds come back from a file as bytes of no type.
        if dtype.isbuiltin != 1 or dtype.kind not in "fiubc":
            return f"values of {onnx.TensorProto.DataType.Name(element)} type, which .npy files cannot hold"
    return ""


def _array(value: Any) -> Array:
    if isinstance(value, bytes):
        value = onnx.TensorProto.FromString(value)
    return np.asarray(numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value)


def _is_random(proto: onnx.ModelProto, inputs: Sequence[Array]) -> bool:
    fed = {value.name: array for value, array in zip(_fed(proto), inputs, strict=True)}
    return any(node.op_type in _RANDOM or _drops(node, fed) for node in proto.graph.node)


def _drops(node: onnx.NodeProto, fed: dict[str, Array]) -> bool:
    """Whether this is a Dropout that is told to train, at a ratio above 0."""
    if node.op_type != "Dropout" or len(node.input) < 3:
        return False
    ratio, training = fed.get(node.input[1]), fed.get(node.input[2])
    return training is not None and bool(training) and (ratio is None or float(ratio) != 0)
