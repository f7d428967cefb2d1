"""A torch.nn.Module, or a callable on tensors, made ONNX by `torch.onnx.export` (dynamo), and run as it is."""

from __future__ import annotations

import inspect
import logging
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from deltann.backend import Tensors
from deltann.errors import Unavailable, UsageError
from deltann.model import TensorSpec
from deltann.native import BATCH, Native
from deltann.native.calling import arguments, leaves, output_names, positional
from deltann_torch.dtypes import FLOATS, to_numpy, to_torch
from deltann_torch.executable import tf32

_DEEPEST = 4
"""Through a partial of a method of an object of the user's it is three steps to a module."""
EXAMPLE_BATCH = 2
"""A batch of 1 would be taken for a size that never changes."""
_KEPT = "pkg.torch.onnx.name_scopes"
"""What is kept of an exported node's origin: the rest names lines of the user's files, and changes with them."""


class TorchExporter:
    """See `deltann.native.Exporter`. Modules are run in eval mode, and so are those that a callable reaches by name."""

    backend: ClassVar[str] = "torch"

    def inputs(self, model: Any, given: Sequence[str]) -> tuple[TensorSpec, ...]:
        """The parameters of `forward`, of the floating type that most weights have; shapes are not known."""
        dtype = str(_float_of(_modules(model))).removeprefix("torch.")
        return tuple(TensorSpec(name, dtype, None) for name in arguments(_function(model), given))

    def export(self, model: Any, inputs: Sequence[TensorSpec], path: Path) -> Native:
        if find_spec("onnxscript") is None:
            raise Unavailable("torch.onnx.export needs onnxscript: pip install 'deltann[torch]'")
        modules = _modules(model)
        device = _device_of(modules)
        called = positional(_function(model), [spec.name for spec in inputs])
        examples = tuple(_example(spec, device) for spec in inputs)
        with _evaluating(modules), torch.no_grad():
            with _refusing(modules):
                named = list(leaves(called(*(example.clone() for example in examples))))
            for name, value in named:
                if not isinstance(value, torch.Tensor):
                    raise UsageError(f"it returns a {type(value).__name__} at '{name}', and only tensors are exported")
            if not named:
                raise UsageError("it returns no tensor")
            names = [spec.name for spec in inputs]
            outputs = output_names([name for name, _ in named], names)
            batch = torch.export.Dim("batch")
            shapes = tuple({0: batch} if spec.shape and spec.shape[0] == BATCH else None for spec in inputs)
            with _quiet():
                program = torch.onnx.export(
                    _Flat(model, called),
                    examples,
                    input_names=names,
                    output_names=outputs,
                    dynamic_shapes=(shapes,) if any(shapes) else None,
                    dynamo=True,
                    verbose=False,
                )
                _without_origins(program.model)
                program.save(path)

        def run(arrays: Tensors) -> Tensors:
            # Copies, which the model may write to.
            tensors = [to_torch(arrays[name], own=True).to(device) for name in names]
            with _evaluating(modules), torch.no_grad():
                values = [value for _, value in leaves(called(*tensors))]
            if len(values) != len(outputs):
                raise ValueError(
                    f"it returned {len(values)} tensors, and the exported model has {len(outputs)} outputs"
                )
            return {name: to_numpy(value) for name, value in zip(outputs, values, strict=True)}

        opset = program.model.opset_imports.get("", 0)
        precision = _precision(modules, examples)
        coarse = tf32(precision, device) if device.type == "cuda" else ""
        note = "; ".join(filter(None, (coarse, f"exported by torch.onnx.export, opset {opset}")))
        actual = {"precision": precision, **_where(device), "note": note}
        return Native(run, f"torch {torch.__version__}", actual)


class _Flat(torch.nn.Module):  # type: ignore[misc]  # torch's types are not read
    """The model with its outputs in a row."""

    def __init__(self, model: Any, called: Callable[..., Any]) -> None:
        super().__init__()
        self.model = model  # its parameters become initializers
        self.called = called
        self.training = False  # the model's own mode is not touched

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(value for _, value in leaves(self.called(*tensors)))


def _function(model: Any) -> Callable[..., Any]:
    """What is called, with the signature of `forward`.

    Raises:
        UsageError: it cannot be called.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise UsageError("torch.onnx.export takes no TorchScript: give the module that it was made of")
    if not callable(model):
        raise UsageError(f"a {type(model).__name__} cannot be called: give a torch.nn.Module or a callable on tensors")
    function: Callable[..., Any] = _Call(model) if isinstance(model, torch.nn.Module) else model
    return function


class _Call:
    """A module's call with the parameters of its `forward`."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._module = module
        self.__signature__ = inspect.signature(module.forward)

    def __call__(self, *values: Any, **named: Any) -> Any:
        return self._module(*values, **named)


def _modules(model: Any) -> list[torch.nn.Module]:
    """The module itself, or those that a callable reaches: a method's object, by name, by attributes or arguments."""
    found: dict[int, torch.nn.Module] = {}
    level, seen = [model], set()
    for _ in range(_DEEPEST):
        for value in level:
            if isinstance(value, torch.nn.Module):
                found.setdefault(id(value), value)
        # The objects themselves are kept, lest another one gets the same id.
        level = [part for value in level for part in _held(value) if id(part) not in seen]
        seen |= set(map(id, level))
    return list(found.values())


def _held(value: Any) -> list[Any]:
    """What a callable, or a plain object that one names, holds."""
    if isinstance(value, partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, tuple | list):
        return list(value)
    if isinstance(value, type | ModuleType | torch.nn.Module | torch.Tensor):
        return []
    held = [getattr(value, "__self__", None), *getattr(value, "__dict__", {}).values()]
    if not inspect.isroutine(value):
        value = getattr(type(value), "__call__", None)  # noqa: B004 - its code is asked for, not whether there is some
    with suppress(TypeError, ValueError):
        found = inspect.getclosurevars(inspect.unwrap(value))
        held += [*found.nonlocals.values(), *found.globals.values()]
    return held


@contextmanager
def _refusing(modules: Sequence[torch.nn.Module]) -> Iterator[None]:
    """Refuse to run, in training mode, a module that was not found: it would compute otherwise, and change itself.

    Raises:
        UsageError: such a one is called; it has not run.
    """
    known = {part for module in modules for part in module.modules()}

    def check(module: torch.nn.Module, _inputs: Any) -> None:
        if module.training and module not in known and _heeds_training(module):
            raise UsageError(
                f"it calls a {type(module).__name__} in training mode that cannot be found in it: call .eval() of that "
                "first, or give the module itself"
            )

    handle = register_module_forward_pre_hook(check)
    try:
        yield
    finally:
        handle.remove()


def _heeds_training(module: torch.nn.Module) -> bool:
    """Whether it may: a plain activation, made on the way, does not."""
    stateful = any(True for _ in (*module.parameters(), *module.buffers()))
    return stateful or isinstance(module, torch.nn.modules.dropout._DropoutNd | torch.nn.RReLU)


@contextmanager
def _evaluating(modules: Sequence[torch.nn.Module]) -> Iterator[None]:
    """Every part in eval mode, and afterwards again in the mode that it was in."""
    before = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for module in modules:
            module.eval()
        yield
    finally:
        for part, training in before:
            part.training = training


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's remarks to its own developers; what fails is an exception."""
    levels = {"torch.onnx": logging.ERROR}
    if "TORCH_TRACE" not in os.environ:
        levels["torch.__trace"] = logging.CRITICAL  # empty lines, by the hundred, in what pytest captures
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _tensors(modules: Sequence[torch.nn.Module]) -> Iterator[torch.Tensor]:
    for module in modules:
        yield from module.parameters()
        yield from module.buffers()


def _float_of(modules: Sequence[torch.nn.Module]) -> torch.dtype:
    """The floating type of most of the weights' numbers; torch's default where there are none."""
    numbers: Counter[torch.dtype] = Counter()
    for tensor in _tensors(modules):
        if tensor.dtype in FLOATS:
            numbers[tensor.dtype] += tensor.numel()
    return numbers.most_common(1)[0][0] if numbers else torch.get_default_dtype()


def _precision(modules: Sequence[torch.nn.Module], examples: Sequence[torch.Tensor]) -> str:
    floats = any(tensor.dtype in FLOATS for tensor in (*_tensors(modules), *examples))
    return str(_float_of(modules)).removeprefix("torch.") if floats else "integers"


def _device_of(modules: Sequence[torch.nn.Module]) -> torch.device:
    return next((tensor.device for tensor in _tensors(modules)), torch.device("cpu"))


def _where(device: torch.device) -> dict[str, str]:
    if device.type == "cpu":
        return {
            "threads": str(torch.get_num_threads()),
            "device": f"cpu ({torch.backends.cpu.get_cpu_capability()})",
        }
    return {"device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)}


def _example(spec: TensorSpec, device: torch.device) -> torch.Tensor:
    """Numbers to call it with: small ones for floats, zeros for indices, which fit any table."""
    sizes = [EXAMPLE_BATCH if dim == BATCH else int(dim or 0) for dim in spec.shape or ()]
    dtype = np.dtype(spec.dtype)
    rng = np.random.default_rng(0)
    array = rng.standard_normal(sizes).astype(dtype) if dtype.kind == "f" else np.zeros(sizes, dtype)
    return to_torch(array, own=True).to(device)


def _without_origins(model: Any) -> None:
    """Leave out where in the user's files each node comes from, so that the same model gives the same bytes."""
    model.graph.metadata_props.clear()
    for node in model.graph.all_nodes():
        kept = {key: value for key, value in node.metadata_props.items() if key == _KEPT}
        node.metadata_props.clear()
        node.metadata_props.update(kept)
