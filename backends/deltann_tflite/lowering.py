"""ONNX through the `tf` backend's table and TensorFlow's own converter into a TFLite file; or such a file as it is."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from deltann.artifact import Artifact
from deltann.backend import Tensors, enter
from deltann.errors import Unavailable, Unsupported, one_line
from deltann.model import Model, fits_one_file
from deltann.outcome import Stage
from deltann.tflite_model import interface

MODEL, LOWERING = "model.tflite", "lowering.json"
NUMBERS = (*(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), "bool", "complex64")
FLOATS = ("float16", "bfloat16", "float32", "float64")


@dataclass(frozen=True)
class Lowering:
    """What `lowering.json` holds.

    `inputs` and `outputs` are (the model's name, the name in the TFLite file, declared numpy dtype, an input's shape);
    `replaced` the model's other floating types, in whose place float32 stands.
    """

    precision: str
    inputs: list[tuple[str, str, str, list[int]]]
    outputs: list[tuple[str, str, str]]
    replaced: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Lowering:
        return cls(**json.loads((folder / LOWERING).read_text()))

    def write(self, folder: Path) -> None:
        (folder / LOWERING).write_text(json.dumps(asdict(self), indent=1))


def take_over(model: Model, workdir: Path) -> Artifact:
    """The file as it is; its quantised inputs and outputs are real numbers to the outside."""
    shutil.copyfile(model.path, workdir / MODEL)
    Lowering(
        "",
        [(spec.name, spec.name, spec.dtype, list(spec.static_shape)) for spec in model.inputs],
        [(spec.name, spec.name, spec.dtype) for spec in model.outputs],
    ).write(workdir)
    return Artifact.of(workdir, [MODEL, LOWERING])


def convert(model: Model, precision: str, workdir: Path, batches: Sequence[Tensors]) -> Artifact:
    """Lower, convert and check that the file's signature names every input and output.

    Raises:
        Unsupported: an operator that the table or TFLite lacks; a model too large for a TensorFlow graph.
        Unavailable: TensorFlow is not installed.
        ValueError: no `batches`, which `precision` int8 needs.
    """
    try:
        import tensorflow as tf
    except ImportError as error:
        raise Unavailable("ONNX models take TensorFlow's converter: pip install 'deltann[tflite]'") from error
    from deltann_tensorflow.function import concrete, program

    if precision == "int8" and not batches:
        raise ValueError("precision=int8 is calibrated on samples of the inputs, and got none")
    for spec in (*model.inputs, *model.outputs):
        if spec.dtype not in (*FLOATS, *NUMBERS):
            raise Unsupported(f"'{spec.name}' is of type {spec.dtype}, which LiteRT does not hand to numpy")
    proto = model.proto()
    if not fits_one_file(proto):
        raise Unsupported("with its external data the model exceeds 2 GB, the most that a TensorFlow graph holds")
    inputs = [(spec.name, spec.dtype, spec.static_shape) for spec in model.inputs]
    # TFLite knows float16 as a way of storing weights and hardly any operator in float64: all is float32 before.
    lowered = program(proto, inputs, tf.float32)
    if lowered.in_python:
        raise Unsupported("the model's shapes depend on its data in a way that only Python can follow, not TFLite")
    enter(Stage.COMPILE)
    lowering = Lowering(
        precision,
        [(spec.name, f"input_{i:04}", spec.dtype, list(spec.static_shape)) for i, spec in enumerate(model.inputs)],
        [(spec.name, f"output_{i:04}", spec.dtype) for i, spec in enumerate(model.outputs)],
        _other_floats(proto),
    )
    (workdir / MODEL).write_bytes(_converted(concrete(lowered, inputs, tf.float32), precision, lowering, batches))
    given, made = interface(workdir / MODEL)
    for ports, names in ((given, [row[1] for row in lowering.inputs]), (made, [row[1] for row in lowering.outputs])):
        if sorted(port.name for port in ports) != sorted(names):
            raise RuntimeError(f"the converter's file names {[port.name for port in ports]}, not {names}")
    lowering.write(workdir)
    return Artifact.of(workdir, [MODEL, LOWERING])


def _converted(function: Any, precision: str, lowering: Lowering, batches: Sequence[Tensors]) -> bytes:
    import tensorflow as tf
    from tensorflow.lite.python.convert_phase import ConverterError

    # With an object to belong to, the function's names go into the file as its signature.
    owner = tf.Module()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], owner)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: _calibration(lowering, batches)
    else:
        # By default the converter puts the largest finite number in an infinity's place, which no scale can hold.
        converter.canonicalizing_inf_as_min_max_float = False
    try:
        return bytes(converter.convert())
    except ConverterError as error:
        if reason := lacking(str(error)):
            raise Unsupported(reason) from error
        raise


def _calibration(lowering: Lowering, batches: Sequence[Tensors]) -> Iterator[dict[str, Any]]:
    for batch in batches:
        yield {
            inner: np.array(batch[name], np.float32 if dtype in FLOATS else None)
            for name, inner, dtype, _ in lowering.inputs
        }


def _other_floats(proto: onnx.ModelProto) -> tuple[str, ...]:
    """The floating types of inputs, outputs and weights, float32 apart."""
    kinds = {value.type.tensor_type.elem_type for value in (*proto.graph.input, *proto.graph.output)}
    kinds |= {weight.data_type for weight in proto.graph.initializer}
    names = {onnx.helper.tensor_dtype_to_np_dtype(kind).name for kind in kinds if kind}
    return tuple(sorted(name for name in names if name in FLOATS and name != "float32"))


def lacking(message: str) -> str | None:
    """The operators, or else the element types, that the converter says TFLite lacks; None if it says otherwise."""
    names = [
        name.strip()
        for found in re.findall(r"^(?:TF Select|Custom) ops: (.+)$", message, re.MULTILINE)
        for name in found.split(",")
    ]
    names = names or list(dict.fromkeys(re.findall(r"'tf\.(\w+)' op is neither a custom op nor a flex op", message)))
    illegal = sorted(set(re.findall(r"failed to legalize operation '([\w.]+)'", message)))
    kinds = sorted(set(re.findall(r"Failed to convert element type '(\w+)'", message)))
    if not names:
        if illegal:
            return f"the converter finds no TFLite form for {', '.join(illegal)} as it stands here"
        return f"TFLite has no element type {', '.join(kinds)}" if kinds else None
    first = re.search(r"^\s*(tf\.\w+\(.*?\) -> \(.*?\))", message, re.MULTILINE)
    return one_line(f"TFLite has no operator for {', '.join(names)}" + (f"; such as {first[1]}" if first else ""))
