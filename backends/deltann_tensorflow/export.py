"""A Keras model, a tf.function or another callable on TensorFlow's tensors, made ONNX by tf2onnx, and run as it is."""

from __future__ import annotations

import inspect
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import tensorflow as tf
from google.protobuf.message import Message

from deltann.backend import Tensors
from deltann.errors import Unavailable, UsageError
from deltann.model import TensorSpec
from deltann.native import BATCH, Native
from deltann.native.calling import arguments, leaves, output_names, positional
from deltann_tensorflow.dtypes import to_numpy, to_tf

_COUNTED = re.compile(r"(?:__\d+)+")
"""What tf2onnx adds to names of its own: a number that counts up as long as the process lives."""
_ADDRESS = re.compile(r"einsum\d+")
"""In some of them is an address in memory."""
_COUNT_FROM = 1_000_000
"""It goes through names in alphabetical order, which is that of the numbers where all are as long."""


class TensorFlowExporter:
    """See `deltann.native.Exporter`. Keras models are called with `training=False`, as far as they take it."""

    backend: ClassVar[str] = "tf"

    def inputs(self, model: Any, given: Sequence[str]) -> tuple[TensorSpec, ...]:
        """The inputs of a Keras model, a signature's, or the parameters; floats are float32 where nothing says."""
        if known := _known(model):
            return tuple(TensorSpec(name, tf.as_dtype(dtype).name, shape) for name, dtype, shape in known)
        if not callable(model):
            raise UsageError(f"a {type(model).__name__} cannot be called: give a Keras model or a tf.function")
        return tuple(TensorSpec(name, "float32", None) for name in arguments(_function(model), given))

    def export(self, model: Any, inputs: Sequence[TensorSpec], path: Path) -> Native:
        if find_spec("tf2onnx") is None:
            raise Unavailable("exporting from TensorFlow needs tf2onnx: pip install 'deltann[keras]'")
        import tf2onnx

        names = [spec.name for spec in inputs]
        called = _call(model, names)
        named = list(leaves(called(*(_example(spec) for spec in inputs))))
        for name, value in named:
            if not isinstance(value, tf.Tensor | tf.Variable):
                raise UsageError(f"it returns a {type(value).__name__} at '{name}', and only tensors are exported")
        if not named:
            raise UsageError("it returns no tensor")
        outputs = output_names([name for name, _ in named], names)

        def flat(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
            values = (tf.convert_to_tensor(value) for _, value in leaves(called(*tensors)))
            # An input that is passed on would lose its name to the output.
            return {name: tf.identity(value) for name, value in zip(outputs, values, strict=True)}

        signature = [_signature(spec) for spec in inputs]
        traced = tf.function(flat, input_signature=signature)
        tf2onnx.utils.INTERNAL_NAME = _COUNT_FROM
        with _quiet():
            proto, _ = tf2onnx.convert.from_function(traced, input_signature=signature)
        concrete = traced.get_concrete_function()
        _embed(proto.graph, concrete)
        proto.graph.doc_string = ""  # it names the function by a number of the process
        _settle(proto.graph)
        _in_order(proto.graph, outputs)
        onnx.save_model(proto, path)

        def run(arrays: Tensors) -> Tensors:
            returned = called(*(to_tf(arrays[name]) for name in names))
            values = [tf.convert_to_tensor(value) for _, value in leaves(returned)]
            if len(values) != len(outputs):
                raise ValueError(
                    f"it returned {len(values)} tensors, and the exported model has {len(outputs)} outputs"
                )
            # Copies: what is an input passed on, or a variable, shares its memory.
            return {name: np.array(to_numpy(value)) for name, value in zip(outputs, values, strict=True)}

        opset = next((entry.version for entry in proto.opset_import if entry.domain == ""), 0)
        precision, placed = _precision(model, concrete.variables, inputs), _places(value for _, value in named)
        coarse = _tf32(precision) if "gpu" in placed else ""
        note = "; ".join(filter(None, (coarse, f"exported by tf2onnx {metadata.version('tf2onnx')}, opset {opset}")))
        actual = {"precision": precision, "note": note} | ({"device": ", ".join(placed)} if placed else {})
        return Native(run, f"tensorflow {tf.__version__}", actual)


def _keras(model: Any) -> bool:
    return any(cls.__module__.partition(".")[0] == "keras" for cls in type(model).__mro__)


def _known(model: Any) -> list[tuple[str, Any, tuple[int | None, ...] | None]]:
    """Name, type and shape of each input, where the object itself tells; empty where it does not.

    Raises:
        UsageError: Keras does not run on TensorFlow.
    """
    specs: Sequence[Any] = ()
    if _keras(model):
        import keras

        if (engine := keras.backend.backend()) != "tensorflow":
            raise UsageError(
                f"Keras runs on {engine} here: set KERAS_BACKEND=tensorflow, or export it and give the file"
            )
        specs = getattr(model, "inputs", None) or ()
    elif isinstance(model, tf.types.experimental.ConcreteFunction):
        specs = [spec for spec in tf.nest.flatten(model.structured_input_signature) if isinstance(spec, tf.TensorSpec)]
    elif signature := getattr(model, "input_signature", None):
        names = arguments(model, ())
        flat = tf.nest.flatten(signature)
        if len(names) != len(flat):
            raise UsageError("its input_signature holds structures: give a function of plain tensors")
        return [(name, spec.dtype, _dims(spec)) for name, spec in zip(names, flat, strict=True)]
    return [(spec.name, spec.dtype, _dims(spec)) for spec in specs]


def _dims(spec: Any) -> tuple[int | None, ...] | None:
    shape = tf.TensorShape(spec.shape)
    return None if shape.rank is None else tuple(shape.as_list())


def _function(model: Any) -> Callable[..., Any]:
    """What has the signature that `model` is called with."""
    function: Callable[..., Any] = model.call if _keras(model) and hasattr(model, "call") else model
    return function


def _call(model: Any, names: Sequence[str]) -> Callable[..., Any]:
    """`model`, called with tensors in the order of `names`."""
    if not _keras(model):
        return positional(model, names) if not hasattr(model, "structured_input_signature") else model
    signature = inspect.signature(model.call).parameters
    more = {"training": False} if "training" in signature else {}
    if not getattr(model, "inputs", None):
        return lambda *tensors: model(**dict(zip(names, tensors, strict=True)), **more)
    import keras

    # A Sequential has one input, and tells its structure only once it was called.
    structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input

    def call(*tensors: Any) -> Any:
        return model(keras.tree.pack_sequence_as(structure, list(tensors)), **more)

    return call


def _signature(spec: TensorSpec) -> tf.TensorSpec:
    dims = [None if dim == BATCH else dim for dim in spec.shape or ()]
    return tf.TensorSpec(dims, spec.dtype, name=spec.name)


def _example(spec: TensorSpec) -> tf.Tensor:
    return tf.zeros([1 if dim == BATCH else dim for dim in spec.shape or ()], spec.dtype)


def _precision(model: Any, variables: Sequence[Any], inputs: Sequence[TensorSpec]) -> str:
    """What a Keras policy computes in, else the floating type of most of the variables' numbers, or of the inputs."""
    if _keras(model) and getattr(model, "compute_dtype", None):
        return str(model.compute_dtype)
    sizes: Counter[str] = Counter()
    for variable in variables:
        sizes[variable.dtype.name] += int(variable.shape.num_elements() or 0)
    for spec in inputs:
        sizes[spec.dtype] += 1
    return next((name for name, _ in sizes.most_common() if tf.as_dtype(name).is_floating), "integers")


def _places(values: Iterable[Any]) -> list[str]:
    """The kinds of device that the outputs lie on, as far as they tell: `cpu`, `gpu`."""
    kinds = {tf.DeviceSpec.from_string(value.device).device_type for value in values if value.device}
    return sorted(kind.lower() for kind in kinds if kind)


def _tf32(precision: str) -> str:
    """Whether a GPU may compute float32 in TF32, whose products have 11 bits; empty where not.

    `NVIDIA_TF32_OVERRIDE=0` has NVIDIA's libraries refuse it, and GPUs before compute capability 8.0 lack it.
    """
    if precision != "float32" or os.environ.get("NVIDIA_TF32_OVERRIDE") == "0":
        return ""
    if not tf.config.experimental.tensor_float_32_execution_enabled():
        return ""
    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    if all(found.get("compute_capability", (8, 0)) < (8, 0) for found in details):
        return ""
    return "CUDA may compute float32 products in TF32 (tf.config.experimental.enable_tensor_float_32_execution)"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without tf2onnx's log: an operator that it does not know makes a file that ONNX's checker refuses by name."""
    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _embed(graph: onnx.GraphProto, function: Any) -> None:
    """Make constants of the tensors that the function reaches from outside, which tf2onnx takes for inputs of it."""
    held = function.captured_inputs
    values = dict(
        zip((tensor.name for tensor in function.inputs[len(function.inputs) - len(held) :]), held, strict=True)
    )
    for extra in [value for value in graph.input if value.name in values]:
        graph.initializer.append(onnx.numpy_helper.from_array(to_numpy(values[extra.name]), extra.name))
        graph.input.remove(extra)


def _settle(graph: onnx.GraphProto) -> None:
    """Names that do not change from one export to the next, so that the same model gives the same bytes.

    tf2onnx counts as long as the process lives, and of equal constants keeps that whose name comes first. Where it
    merges nodes of loops, or sorts those of an einsum, by addresses in memory, the graph itself is another each time.
    """
    constants = {tensor.name for tensor in graph.initializer if _COUNTED.search(tensor.name)}
    _rename(graph, constants, {})
    tensors = sorted(graph.initializer, key=lambda tensor: tensor.name)
    copies = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in tensors]
    del graph.initializer[:]
    graph.initializer.extend(copies)


def _rename(message: Message, constants: Set[str], seen: dict[str, str]) -> None:
    """Count names up from 0, in the order of the file."""

    def settled(text: str) -> str:
        if text in constants:
            return seen.setdefault(text, f"const__{len(seen)}")
        return _ADDRESS.sub("einsum", _COUNTED.sub(lambda found: seen.setdefault(found[0], f"__{len(seen)}"), text))

    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for part in value if field.is_repeated else (value,):
                _rename(part, constants, seen)
        elif field.type == field.TYPE_STRING and field.is_repeated:
            value[:] = [settled(text) for text in value]
        elif field.type == field.TYPE_STRING:
            setattr(message, field.name, settled(value))


def _in_order(graph: onnx.GraphProto, outputs: Sequence[str]) -> None:
    """tf2onnx sorts what a dictionary holds by its keys."""
    by_name = {value.name: value for value in graph.output}
    if set(by_name) != set(outputs):
        raise RuntimeError(f"tf2onnx made the outputs {', '.join(by_name)} of {', '.join(outputs)}")
    ordered = [onnx.ValueInfoProto.FromString(by_name[name].SerializeToString()) for name in outputs]
    del graph.output[:]
    graph.output.extend(ordered)
