"""ONNX in plain numpy: an example of a deltann backend, complete and in one file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx

from deltann.artifact import Artifact
from deltann.backend import Executable, Option, Tensors, Variant, enter, settings
from deltann.environment import Environment
from deltann.errors import Unavailable, Unsupported, UsageError
from deltann.lowering.attributes import since
from deltann.lowering.graph import Graph, label, operators, read_graph
from deltann.lowering.padding import window
from deltann.lowering.shapes import reshape
from deltann.model import Model, fits_one_file
from deltann.outcome import Stage

Array = Any
"""A numpy array of any type."""
Attributes = Mapping[str, Any]
Product = Callable[[Array, Array], Array]
"""Multiplies two matrices, or stacks of them."""
_MODEL, _PEAKS = "model.onnx", "peaks.json"


class NumpyBackend:
    """Runs the model operator by operator; `numpy-int8` multiplies matrices in 8-bit integers."""

    name: ClassVar[str] = "numpy"
    summary: ClassVar[str] = "ONNX in plain numpy (an example)"
    install: ClassVar[str] = "deltann-numpy-example"
    distribution: ClassVar[str] = "numpy"
    variants: ClassVar[Mapping[str, Variant]] = {
        "f64": Variant({"precision": "float64"}, "compute in double precision"),
        "int8": Variant({"precision": "int8"}, "multiply matrices in 8-bit integers, calibrated on samples"),
    }
    options: ClassVar[Mapping[str, Option]] = {
        "precision": Option(
            "what is computed in; the model's own types where absent",
            choices=("float64", "longdouble", "int8"),
            numerics=True,
            at_load=True,
        ),
        "samples": Option("on how many samples int8 is calibrated", "100", "count", numerics=True),
    }

    def version(self) -> str:
        """The version of numpy."""
        return version(self.distribution)

    def devices(self) -> Sequence[str]:
        """The CPU alone."""
        return ("cpu",)

    def unsupported(self, model: Model, env: Environment) -> str | None:
        """Opsets that `onnx` does not know yet, and operators that the tables below lack."""
        del env
        newest = onnx.defs.onnx_opset_version()
        if model.opset > newest:
            return f"opset {model.opset} is newer than {newest}, the newest that the installed onnx knows"
        used = operators(onnx.load(model.path, load_external_data=False))
        lacking = [label(*each) for each in used if not _known(*each)]
        return f"no operator {', '.join(lacking)}" if lacking else None

    def lower(self, model: Model, env: Environment, workdir: Path) -> Artifact:
        """Write the model into one file.

        Raises:
            Unsupported: see `unsupported`; also a node's further outputs, training, and models over 2 GB.
            UsageError: the environment is calibrated, so that `lower_calibrated` is the one to call.
        """
        if self.calibration_samples(env):
            raise UsageError(f"'{env}' is calibrated on samples of the inputs, and there are none: give some")
        return self._lower(model, env, workdir, None)

    def calibration_samples(self, env: Environment) -> int:
        """The option `samples` where the precision is int8."""
        values = settings(self, env)
        return int(str(values["samples"])) if values["precision"] == "int8" else 0

    def lower_calibrated(self, model: Model, env: Environment, workdir: Path, batches: Sequence[Tensors]) -> Artifact:
        """`lower`, and write down how large the first matrix of each product gets on the samples."""
        return self._lower(model, env, workdir, batches)

    def _lower(self, model: Model, env: Environment, workdir: Path, batches: Sequence[Tensors] | None) -> Artifact:
        proto = model.proto()
        if reason := self.unsupported(model, env) or _refusal(read_graph(proto)):
            raise Unsupported(reason)
        if not fits_one_file(proto):
            raise Unsupported("with its external data the model exceeds 2 GB, the most that one protobuf file holds")
        enter(Stage.COMPILE)
        onnx.save_model(proto, workdir / _MODEL)
        if batches is None:
            return Artifact.of(workdir, [_MODEL])
        program = _Program(proto, wide=None, peaks={})
        for batch in batches:
            program.run(batch)
        (workdir / _PEAKS).write_text(json.dumps(program.seen, sort_keys=True))
        return Artifact.of(workdir, [_MODEL, _PEAKS])

    @contextmanager
    def load(self, artifact: Artifact, env: Environment) -> Iterator[Executable]:
        """Read the model back.

        Raises:
            Unavailable: this machine has no floating-point type wider than double precision.
        """
        precision = settings(self, env)["precision"]
        if precision == "longdouble" and np.finfo(np.longdouble).eps == np.finfo(np.float64).eps:
            raise Unavailable("numpy's longdouble is float64 on this machine: use precision=float64")
        peaks = json.loads((artifact.folder / _PEAKS).read_text()) if _PEAKS in artifact.files else {}
        wide = None if precision in (None, "int8") else np.dtype(str(precision))
        yield _Program(onnx.load(artifact.folder / _MODEL), wide, peaks)


class _Program:
    """Runs a graph; `seen` grows to the largest magnitude in the first matrix of each product, by the output's name."""

    def __init__(self, proto: onnx.ModelProto, wide: np.dtype[Any] | None, peaks: Mapping[str, float]) -> None:
        self._graph = read_graph(proto)
        self._wide, self._peaks = wide, peaks
        self._declared = {
            value.name: onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            for value in proto.graph.output
        }
        self._constants = {name: self._widen(array) for name, array in self._graph.constants.items()}
        self._work: Counter[str] = Counter()
        self.seen: dict[str, float] = {}

    def run(self, inputs: Tensors) -> Tensors:
        """Evaluate node by node."""
        values = {"": None, **self._constants, **{name: self._widen(array) for name, array in inputs.items()}}
        for node in self._graph.nodes:
            operands = [values[name] for name in node.inputs]
            if node.op in PRODUCTS:
                _, compute = PRODUCTS[node.op]
                compute = partial(compute, partial(self._multiply, node.outputs[0]))
            else:
                _, compute = OPERATORS[node.op]
            result = compute(node.attributes, *operands)
            values[node.outputs[0]] = self._widen(np.asarray(result))
        # Copies: Reshape and the like return views, and whoever called owns the inputs.
        return {name: np.array(values[name], dtype if self._wide else None) for name, dtype in self._declared.items()}

    def actual(self) -> Mapping[str, str]:
        """What most multiplications were done in, and the library that numpy left them to."""
        blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        told = {"note": f"numpy's BLAS is {blas['name']} {blas['version']}"}
        return {**told, "precision": self._work.most_common(1)[0][0]} if self._work else told

    def _widen(self, array: Array) -> Array:
        return array.astype(self._wide) if self._wide and np.issubdtype(array.dtype, np.floating) else array

    def _multiply(self, name: str, a: Array, b: Array) -> Array:
        self.seen[name] = max(self.seen.get(name, 0.0), float(np.abs(a).max(initial=0)))
        quantised = name in self._peaks and np.issubdtype(a.dtype, np.floating)
        result = _multiply_int8(self._peaks[name], a, b) if quantised else a @ b
        self._work["int8" if quantised else a.dtype.name] += result.size * a.shape[-1]
        return result


def _multiply_int8(peak: float, a: Array, b: Array) -> Array:
    """`a @ b` in 8-bit integers and 32-bit sums; `peak` becomes 127 in a, its own largest magnitude does in b."""
    scales = (peak or 1) / 127, (float(np.abs(b).max(initial=0)) or 1) / 127
    whole = [np.clip(np.rint(m / s), -127, 127).astype(np.int32) for m, s in zip((a, b), scales, strict=True)]
    return ((whole[0] @ whole[1]) * (scales[0] * scales[1])).astype(a.dtype)


def _matmul(multiply: Product, _: Attributes, x: Array, y: Array) -> Array:
    return multiply(x, y)


def _gemm(multiply: Product, a: Attributes, x: Array, y: Array, z: Array = None) -> Array:
    scaled = a["alpha"] * multiply(x.T if a["transA"] else x, y.T if a["transB"] else y)
    return scaled if z is None else scaled + a["beta"] * z


def _conv(multiply: Product, a: Attributes, x: Array, weight: Array, bias: Array = None) -> Array:
    """What each filter sees laid out in rows, so that a group is one product; any number of spatial axes."""
    win, groups, spatial = window(dict(a), weight.shape[2:]), a["group"], range(2, x.ndim)
    x = np.pad(x, [(0, 0), (0, 0), *zip(*win.explicit(x.shape[2:]), strict=True)])
    seen = np.lib.stride_tricks.sliding_window_view(x, win.extent, tuple(spatial))
    seen = seen[:, :, *(slice(None, None, step) for step in (*win.strides, *win.dilations))]
    places = seen.shape[2 : x.ndim]
    seen = seen.reshape(len(x), groups, -1, *places, *win.kernel)
    rows = np.moveaxis(seen, 2, x.ndim).swapaxes(0, 1).reshape(groups, len(x) * prod(places), -1)
    columns = weight.reshape(groups, len(weight) // groups, -1).swapaxes(1, 2)
    y = multiply(rows, columns).reshape(groups, len(x), *places, -1)
    y = np.moveaxis(y, (1, 0, -1), (0, 1, 2)).reshape(len(x), len(weight), *places)
    return y if bias is None else y + bias.reshape(-1, *(1 for _ in spatial))


def _divide(_: Attributes, x: Array, y: Array) -> Array:
    """Integers are truncated, where numpy's // floors."""
    return (x - np.fmod(x, y)) // y if np.issubdtype(x.dtype, np.integer) else x / y


def _clip(_: Attributes, x: Array, low: Array = None, high: Array = None) -> Array:
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _softmax(a: Attributes, x: Array) -> Array:
    raised = np.exp(x - x.max(axis=a["axis"], keepdims=True))
    return raised / raised.sum(axis=a["axis"], keepdims=True)


def _normalise(a: Attributes, x: Array, scale: Array, bias: Array, mean: Array, variance: Array) -> Array:
    scale, bias, mean, variance = (v.reshape(-1, *(1 for _ in x.shape[2:])) for v in (scale, bias, mean, variance))
    return (x - mean) / np.sqrt(variance + a["epsilon"]) * scale + bias


def _argmax(a: Attributes, x: Array) -> Array:
    last = a["select_last_index"]
    found = np.argmax(np.flip(x, a["axis"]) if last else x, a["axis"], keepdims=bool(a["keepdims"]))
    return x.shape[a["axis"]] - 1 - found if last else found


def _reduce(how: Callable[..., Array], a: Attributes, x: Array, axes: Array = None) -> Array:
    """The axes are an attribute in old opsets and an input in new ones."""
    chosen = a.get("axes", [] if axes is None else axes.tolist())
    if not chosen and a.get("noop_with_empty_axes"):
        return x
    return how(x, axis=tuple(chosen) or None, keepdims=bool(a["keepdims"])).astype(x.dtype)


def _constant(a: Attributes) -> Array:
    (kind,) = a
    return np.asarray(a[kind], np.float32 if kind.startswith("value_float") else None)


PRODUCTS: dict[str, tuple[int, Callable[..., Array]]] = {
    "Conv": (1, _conv),
    "Gemm": (7, _gemm),
    "MatMul": (1, _matmul),
}
"""By operator: the oldest definition (the opset it came with) that the function follows."""

OPERATORS: dict[str, tuple[int, Callable[..., Array]]] = {
    "Add": (7, lambda _, x, y: x + y),
    "ArgMax": (12, _argmax),
    "BatchNormalization": (9, _normalise),
    "Clip": (11, _clip),
    "Concat": (4, lambda a, *inputs: np.concatenate(inputs, a["axis"])),
    "Constant": (1, _constant),
    "Div": (7, _divide),
    "Flatten": (1, lambda a, x: x.reshape(prod(x.shape[: a["axis"]]), prod(x.shape[a["axis"] :]))),
    "Gather": (1, lambda a, x, indices: np.take(x, indices, a["axis"])),
    "GlobalAveragePool": (1, lambda _, x: x.mean(axis=tuple(range(2, x.ndim)), keepdims=True)),
    "Greater": (9, lambda _, x, y: x > y),
    "Identity": (1, lambda _, x: x),
    "LeakyRelu": (6, lambda a, x: np.where(x < 0, a["alpha"] * x, x)),
    "Mul": (7, lambda _, x, y: x * y),
    "ReduceMean": (1, partial(_reduce, np.mean)),
    "ReduceSum": (1, partial(_reduce, np.sum)),
    "Relu": (6, lambda _, x: np.maximum(x, 0)),
    "Reshape": (5, lambda a, x, target: x.reshape(reshape(target.tolist(), x.shape, bool(a.get("allowzero"))))),
    "Shape": (1, lambda a, x: np.array(x.shape[a.get("start", 0) : a.get("end")], np.int64)),
    "Sigmoid": (6, lambda _, x: np.exp(-np.logaddexp(0, -x))),
    "Softmax": (13, _softmax),
    "Squeeze": (13, lambda _, x, axes=None: np.squeeze(x, None if axes is None else tuple(axes))),
    "Sub": (7, lambda _, x, y: x - y),
    "Tanh": (6, lambda _, x: np.tanh(x)),
    "Transpose": (1, lambda a, x: np.transpose(x, a.get("perm"))),
    "Unsqueeze": (13, lambda _, x, axes: np.expand_dims(x, tuple(axes))),
}


def _known(op: str, domain: str, opset: int) -> bool:
    oldest, _ = {**PRODUCTS, **OPERATORS}.get(op, (None, None))
    return domain == "" and oldest is not None and since(op, domain, opset) >= oldest


def _refusal(graph: Graph) -> str | None:
    """What the tables cannot tell: it shows in the nodes themselves."""
    for node in graph.nodes:
        if any(node.outputs[1:]) or node.attributes.get("training_mode"):
            return f"{node}: one output, in inference, is all that this backend computes"
    return None
