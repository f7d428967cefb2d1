"""What a compiled model does, asked for or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

TYPES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16", "i8": "int8", "u8": "int8"}
_HEAVY = ("Convolution", "Deconvolution", "FullyConnected", "MatMul", "RNNCell", "RNNSeq", "ScaledDotProductAttention")
_IDLE = ("Const", "Input", "Output", "Reorder", "Reshape", "Transpose", "Concatenation", "Split")


def actual(core: Any, compiled: Any, threads: int | None) -> Mapping[str, str]:
    """Precision, threads, CPU and what else is worth telling; `threads` are those asked for."""
    layers = _layers(compiled)
    heavy = {key: count for key, count in layers.items() if key[0] in _HEAVY} or layers
    precisions: Counter[str] = Counter()
    for (_, precision), count in heavy.items():
        precisions[precision] += count
    used = compiled.get_property("INFERENCE_NUM_THREADS")
    told = {"threads": str(used), "device": core.get_property("CPU", "FULL_DEVICE_NAME").strip()}
    if precisions:
        told["precision"] = precisions.most_common(1)[0][0]
    notes = []
    if len(precisions) > 1:
        notes.append(", ".join(f"{count} {kind} in {precision}" for (kind, precision), count in sorted(heavy.items())))
    if compiled.get_property("CPU_DENORMALS_OPTIMIZATION"):
        notes.append("denormals are flushed to zero")
    if notes:
        told["note"] = "; ".join(notes)
    if threads is not None and used != threads:
        told["ignored"] = f"threads={threads}: OpenVINO computes with {used}, at most one for each core"
    return told


def _layers(compiled: Any) -> Counter[tuple[str, str]]:
    """How many layers of each kind the executed graph has in each precision, those that only move data left out."""
    found: Counter[tuple[str, str]] = Counter()
    for operation in compiled.get_runtime_model().get_ordered_ops():
        info = operation.get_rt_info()
        kind, precision = (info[key].astype(str) for key in ("layerType", "runtimePrecision"))
        if kind not in _IDLE:
            found[kind, TYPES.get(precision, precision)] += 1
    return found
