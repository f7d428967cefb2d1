"""From an ONNX file to OpenVINO's intermediate representation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deltann.errors import Unsupported, one_line
from deltann.model import Model
from deltann_openvino.importing import import_openvino

# Element types that numpy has too: OpenVINO's bfloat16, float8 and 4-bit types come as arrays of other types.
_INTEGERS = (f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
DTYPES = ("bool", *_INTEGERS, "float16", "float32", "float64")

# Every layer of OpenVINO throws its own lines; these say where, not why.
_FRAME = re.compile(r"Exception from |FrontEnd API failed|Model wasn't fully|Summary:|Check '.*' failed at \S+:$")
_REFUSAL = re.compile(
    r"FrontEnd API failed|Unsupported type|[Uu]nsupported|(does ?n[o']t|is not|not) support|[Nn]ot implemented"
)


@contextmanager
def refused() -> Iterator[None]:
    """What OpenVINO says that it cannot do becomes Unsupported; its other exceptions go on as they are."""
    try:
        yield
    except RuntimeError as error:
        if not _REFUSAL.search(str(error)):
            raise
        raise Unsupported(f"OpenVINO: {_reason(str(error))}") from error


def _reason(message: str) -> str:
    lines = [line.removeprefix("-- ").strip() for line in message.splitlines()]
    said = [line for line in lines if line and not _FRAME.match(line)]
    return one_line(" ".join(said) or message)


def read(model: Model) -> Any:
    """The `openvino.Model` of the file, its inputs' shapes static.

    Its inputs and outputs stand in the model's order; an input that is passed on as it is goes by the output's name.

    Raises:
        Unsupported: the frontend refuses the model.
    """
    ov = import_openvino()
    with refused():
        network = ov.Core().read_model(str(model.path))
        if len(network.inputs) != len(model.inputs):
            raise RuntimeError(f"OpenVINO makes {len(network.inputs)} inputs of {len(model.inputs)}")
        network.reshape({index: list(spec.static_shape) for index, spec in enumerate(model.inputs)})
    return network


def name_by_place(network: Any) -> None:
    """Name operations by their place: OpenVINO counts those it names through the process, which is no difference."""
    for number, operation in enumerate(network.get_ordered_ops()):
        operation.set_friendly_name(f"{operation.get_type_name()}_{number}")
        for body in _bodies(operation):
            name_by_place(body)


def _bodies(operation: Any) -> list[Any]:
    if operation.get_type_name() == "If":
        return [operation.get_then_body(), operation.get_else_body()]
    return [operation.get_function()] if operation.get_type_name() in ("Loop", "TensorIterator") else []
