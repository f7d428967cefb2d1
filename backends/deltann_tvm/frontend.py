"""From an ONNX model to a Relax module with static shapes."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any, cast

import onnx
from onnx import inliner

from deltann.errors import Unavailable, Unsupported, one_line
from deltann.lowering.graph import operators
from deltann.lowering.static import with_static_inputs
from deltann.model import Model

# Element types that numpy and TVM's LLVM code both handle, by numpy's names: bfloat16, float8 and int4 are no plain
# numpy arrays; complex numbers and strings have no TVM type.
_INTEGERS = (f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
DTYPES = ("bool", *_INTEGERS, "float16", "float32", "float64")
_REFUSAL = re.compile(r"not (yet )?supported|\bonly constant\b|\bonly supports?\b|must be a constant", re.IGNORECASE)
"""How the importer says that it lacks something; it raises the same types where it goes wrong."""


def import_tvm() -> Any:
    """TVM, imported without the PyTorch that its FFI imports when it finds one: over a second, and another thread pool.

    Raises:
        Unavailable: TVM is not installed.
    """
    if find_spec("tvm") is None:
        raise Unavailable("TVM is not installed: pip install 'deltann[tvm]'")
    os.environ.setdefault("TVM_FFI_DISABLE_TORCH_C_DLPACK", "1")
    # TVM pins its threads to the first cores, where those of every other process that runs TVM are pinned too.
    os.environ.setdefault("TVM_BIND_THREADS", "0")
    with _without("torch"):
        import tvm

    return tvm


@contextmanager
def _without(module: str) -> Iterator[None]:
    """Have imports of `module` fail as if it were not installed, unless it has been imported before."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = cast(ModuleType, None)  # which makes its import raise
    try:
        yield
    finally:
        del sys.modules[module]


def missing_operators(proto: onnx.ModelProto) -> list[str]:
    """The operators of `proto` that TVM's ONNX frontend has no converter for, sorted; subgraphs and functions too."""
    import_tvm()
    from tvm.relax.frontend.onnx.onnx_frontend import _get_convert_map

    # `If` and `Constant` are handled beside the map. The importer looks at the name alone, hence the domains.
    known = {*_get_convert_map(), "If", "Constant"}
    missing = set()
    for operator, domain, _ in operators(proto):
        if operator not in known or domain not in ("", "com.microsoft"):
            missing.add(f"{domain}::{operator}" if domain else operator)
    return sorted(missing)


def fold(model: Model) -> onnx.ModelProto:
    """The model with its inputs' shapes static, its own functions inlined and what is constant computed.

    onnxscript's folder does it, by the specification's evaluator, and no other part of its optimiser: what is fused,
    and so how sums are rounded, is the level's business.
    """
    import onnx_ir
    from onnxscript import optimizer

    proto = model.proto()
    if proto.functions:
        proto = inliner.inline_local_functions(proto)
    proto = with_static_inputs(proto, {spec.name: spec.static_shape for spec in model.inputs})
    whole = onnx_ir.from_proto(proto)
    optimizer.fold_constants(
        whole, onnx_shape_inference=True, input_size_limit=sys.maxsize, output_size_limit=sys.maxsize
    )
    optimizer.remove_unused_nodes(whole)
    return onnx_ir.to_proto(whole)


def to_relax(proto: onnx.ModelProto, model: Model) -> tuple[Any, list[str]]:
    """The Relax module and the names of the inputs its `main` takes, in order; inputs that nothing reads are dropped.

    Raises:
        Unsupported: the importer refuses the model, or an output is not a tensor (TVM keeps what `Shape` gives apart).
    """
    tvm = import_tvm()
    from tvm.relax.frontend.onnx import from_onnx

    shapes = {spec.name: list(spec.static_shape) for spec in model.inputs}
    constants = {tensor.name for tensor in proto.graph.initializer}
    taken = [value.name for value in proto.graph.input if value.name not in constants]
    try:
        module = from_onnx(proto, shape_dict={name: shapes[name] for name in taken}, sanitize_input_names=True)
    except (AssertionError, NotImplementedError, ValueError) as error:
        if _REFUSAL.search(str(error)) is None:
            raise
        raise Unsupported(f"TVM's importer: {one_line(str(error))}") from error
    result = module["main"].ret_ty
    fields = list(result.fields) if isinstance(result, tvm.relax.TupleType) else [result]
    for spec, field in zip(model.outputs, fields, strict=True):
        if not isinstance(field, tvm.relax.TensorType):
            raise Unsupported(f"TVM makes the output '{spec.name}' a shape, not a tensor")
    return module, taken
