"""Lower precisions, made by ONNX Runtime's own tools: 8-bit integers and float16."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from deltann.backend import Tensors
from deltann.errors import Unsupported, one_line
from deltann_ort.session import optimise

_PER_CHANNEL_OPSET = 13
_log = logging.getLogger(__name__)


def to_float16(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its float32 tensors and operators in float16; inputs and outputs keep their types.

    By `onnxruntime.transformers.float16`, which leaves operators of its block list in float32.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    converted: onnx.ModelProto = convert_float_to_float16(with_constants(proto), keep_io_types=True)
    return converted


def quantise_static(
    proto: onnx.ModelProto, names: Sequence[str], batches: Sequence[Tensors], disabled: Sequence[str], folder: Path
) -> onnx.ModelProto:
    """QuantizeLinear and DequantizeLinear around each operator: uint8 activations, int8 weights by channel.

    uint8 is what ORT advises for x86 and has kernels for everywhere: of int8 activations it fuses only a part there.
    The range of an activation is the least and greatest value over `batches`, which hold the inputs `names`.

    Raises:
        Unsupported: a batch lacks an input of the model, has one too many, or holds NaN or infinity.
        Unsupported: no operator of the model can be quantised, its weights are float16, or `onnx.version_converter`
            cannot bring it to opset 13.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    reader = _Reader(names, batches)
    prepared, target = _prepared(proto, disabled, folder, _PER_CHANNEL_OPSET), folder / "static.onnx"
    quantize_static(
        str(prepared),
        str(target),
        reader,
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return _quantised(prepared, target)


def quantise_dynamic(proto: onnx.ModelProto, disabled: Sequence[str], folder: Path) -> onnx.ModelProto:
    """int8 weights by tensor; activations become uint8 in each run, after their range in that run.

    Raises:
        Unsupported: no operator of the model can be quantised so, or its weights are float16.
    """
    from onnxruntime.quantization import quantize_dynamic

    prepared, target = _prepared(proto, disabled, folder, 0), folder / "dynamic.onnx"
    quantize_dynamic(str(prepared), str(target))
    return _quantised(prepared, target)


def with_constants(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the inputs that only give its weights a name (IR 3): what is converted cannot be overridden."""
    initialised = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in initialised]
    del proto.graph.input[:]
    proto.graph.input.extend(inputs)
    proto.ir_version = max(proto.ir_version, 4)
    return proto


def _prepared(proto: onnx.ModelProto, disabled: Sequence[str], folder: Path, opset: int) -> Path:
    """Optimised (BatchNormalization folded, for one) and shapes inferred, as ORT asks of what it quantises.

    Without symbolic shape inference: that needs sympy, and outputs would depend on whether it is installed.
    """
    from onnxruntime.quantization import quant_pre_process

    source, optimised, prepared = folder / "float.onnx", folder / "optimised.onnx", folder / "prepared.onnx"
    onnx.save_model(with_constants(proto), source)
    # Not by `quant_pre_process`, which logs the optimiser's errors and goes on.
    optimise(source, optimised, "1", disabled)
    quant_pre_process(str(optimised), str(prepared), skip_optimization=True, skip_symbolic_shape=True)
    model = onnx.load(prepared)
    if any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in model.graph.initializer):
        raise Unsupported(
            "the weights are float16, and ONNX Runtime's quantiser takes float32: give it the float32 model"
        )
    had = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if had < opset:
        try:
            model = onnx.version_converter.convert_version(model, opset)
        except RuntimeError as error:
            raise Unsupported(
                f"quantising by channel needs opset {opset}, and onnx.version_converter cannot bring the model there "
                f"from {had}: {one_line(str(error), 160)}"
            ) from error
        _log.warning("opset %d was converted to %d, which quantising by channel needs", had, opset)
        onnx.save_model(model, prepared)
    return prepared


def _quantised(prepared: Path, target: Path) -> onnx.ModelProto:
    model = onnx.load(target)
    before, after = (Counter(node.op_type for node in m.graph.node) for m in (onnx.load(prepared), model))
    if before == after:
        raise Unsupported(f"ONNX Runtime's quantiser finds nothing to quantise among {', '.join(sorted(before))}")
    return model


class _Reader:
    """Hands ORT one batch after the other, so that one at a time is in memory."""

    def __init__(self, names: Sequence[str], batches: Sequence[Tensors]) -> None:
        self._names = set(names)
        self._batches: Iterator[Tensors] = iter(batches)

    def get_next(self) -> dict[str, npt.NDArray[np.generic]] | None:
        """The next batch, or None."""
        batch = next(self._batches, None)
        if batch is None:
            return None
        if set(batch) != self._names:
            raise Unsupported(f"calibration samples of {sorted(batch)}, but the model takes {sorted(self._names)}")
        for name, array in batch.items():
            if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
                raise Unsupported(f"a calibration sample of '{name}' holds NaN or infinity, which has no range")
        return dict(batch)
