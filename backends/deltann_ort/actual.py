"""What ONNX Runtime really does, read from the graph it optimised and asked of the session."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from deltann.backend import Value
from deltann_ort.order import subgraphs

# Where a network spends its time: convolutions, matrix products and what is made of them.
_PRODUCTS = {
    *("Conv", "FusedConv", "NhwcFusedConv", "ConvInteger", "QLinearConv", "ConvTranspose", "QLinearConvTranspose"),
    *("Gemm", "FusedGemm", "QGemm", "MatMul", "FusedMatMul", "FusedMatMulActivation", "TransposeMatMul", "Einsum"),
    *("MatMulInteger", "QLinearMatMul", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "MatMulNBits"),
    *("Attention", "MultiHeadAttention", "QAttention", "LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"),
}
_WEIGHT_ONLY = {"MatMulNBits"}
_INTEGERS = {"int8", "uint8"}
_FLOATS = {"float16", "bfloat16", "float32", "float64"}


@dataclass(frozen=True)
class Precision:
    """How many operators compute in each type: the convolutions and products, or all nodes where there are none."""

    counts: Counter[str]
    kind: str = "Conv/Gemm/MatMul"

    @classmethod
    def of(cls, proto: onnx.ModelProto) -> Precision:
        """Read from the graph: `int8` where an input is an 8-bit integer, otherwise the float type of the inputs."""
        nodes = [(op, found) for op, found in _typed(proto.graph, {}) if found]
        products = Counter(found for op, found in nodes if op in _PRODUCTS)
        return cls(products) if products else cls(Counter(found for op, found in nodes if op != "Cast"), "nodes")

    def __str__(self) -> str:
        """`float32`, or `int8 (52 of 66 Conv/Gemm/MatMul; float32: 14)`; empty where nothing is known."""
        if len(self.counts) < 2:
            return "".join(self.counts)
        (first, number), *others = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        rest = ", ".join(f"{name}: {count}" for name, count in others)
        return f"{first} ({number} of {self.counts.total()} {self.kind}; {rest})"

    def ignored(self, values: Mapping[str, Value | None]) -> str:
        """Where the precision asked for is not the one computed in; empty where it is, or where none was asked for."""
        wanted = str(values["precision"])
        others = sorted(set(self.counts) - {wanted})
        if wanted == "model" or not others:
            return ""
        missed = f"{sum(self.counts[name] for name in others)} of {self.counts.total()} {self.kind}"
        why = ""
        if wanted == "float16":
            why = ", for want of float16 kernels or left so by the converter"
        elif values["quantise"] != "dynamic" and values["level"] in ("0", "1"):
            why = ", between QuantizeLinear and DequantizeLinear, which ONNX Runtime fuses from level 2 on"
        return f"precision={wanted}: {missed} run in {' and '.join(others)}{why}"


@dataclass(frozen=True)
class Placement:
    """Which provider each node went to, by (provider, operator); None where this ORT does not tell (before 1.24)."""

    registered: tuple[str, ...]
    nodes: Counter[tuple[str, str]] | None

    @classmethod
    def of(cls, session: Any) -> Placement:
        """Ask a session whose options record it."""
        registered = tuple(session.get_providers())
        if not hasattr(session, "get_provider_graph_assignment_info"):
            return cls(registered, None)
        parts = session.get_provider_graph_assignment_info()
        return cls(registered, Counter((part.ep_name, node.op_type) for part in parts for node in part.get_nodes()))

    def count(self, provider: str) -> int:
        """How many nodes went to `provider`."""
        return 0 if self.nodes is None else sum(n for (name, _), n in self.nodes.items() if name == provider)

    def unused(self, wanted: Sequence[str]) -> list[str]:
        """Those of `wanted` that, as ORT tells, no node went to, though there are nodes."""
        if self.nodes is None or not self.nodes.total():
            return []
        return [provider for provider in wanted if not self.count(provider)]

    def __str__(self) -> str:
        """The providers that compute, with the number of nodes of each where several are registered."""
        if len(self.registered) == 1:
            return self.registered[0]
        if self.nodes is None:
            return f"{', '.join(self.registered)} (this version does not tell which nodes went where)"
        total = self.nodes.total()
        return ", ".join(f"{p} ({self.count(p)} of {total} nodes)" for p in self.registered if self.count(p))

    def ignored(self, wanted: Sequence[str]) -> str:
        """Which providers that were asked for do nothing, and which convolutions and products run on others.

        ORT places nodes on the CPU by itself where a provider lacks them, and small ones about shapes on purpose.
        """
        told = [f"{provider}, to which no node went" for provider in self.unused(wanted)]
        products = {at: n for at, n in (self.nodes or {}).items() if at[1] in _PRODUCTS}
        missed = {at: n for at, n in products.items() if at[0] not in wanted}
        if missed:
            names = " and ".join(sorted({name for name, _ in missed}))
            told.append(f"{sum(missed.values())} of {sum(products.values())} Conv/Gemm/MatMul run on {names}")
        return f"providers={'+'.join(wanted)}: {'; '.join(told)}" if told else ""


def tf32(session: Any) -> str:
    """Which providers may make float32 products in TF32: CUDA's by an option that is on by itself, TensorRT's always.

    `NVIDIA_TF32_OVERRIDE=0` forbids it to both; TensorRT's provider has no option of its own for it.
    """
    if os.environ.get("NVIDIA_TF32_OVERRIDE") == "0":
        return ""
    options = session.get_provider_options()
    allowed = {
        name: "use_tf32=1" if options.get(name, {}).get("use_tf32") == "1" else "TensorRT's own choice"
        for name in session.get_providers()
        if options.get(name, {}).get("use_tf32") == "1"
        or ("tensorrt" in name.lower() and "use_tf32" not in options.get(name, {}))
    }
    why = ", ".join(dict.fromkeys(allowed.values()))
    return f"{', '.join(allowed)} may compute float32 products in TF32 ({why})" if allowed else ""


def built_anew(session: Any) -> str:
    """What another load of the same model may do otherwise: TensorRT times kernels and keeps the quickest."""
    names = [name for name in session.get_providers() if "tensorrt" in name.lower()]
    return f"{', '.join(names)} chose its kernels by timing them; the next load may choose others" if names else ""


def os_threads() -> frozenset[str] | None:
    """The numbers of this process's threads; None where the system does not tell.

    To be compared as sets: a thread that was joined is still listed for a moment, so counts may go down.
    """
    tasks = Path("/proc/self/task")
    return frozenset(task.name for task in tasks.iterdir()) if tasks.is_dir() else None


def _typed(graph: onnx.GraphProto, outer: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each node's operator with the type that it computes in; empty where unknown. Subgraphs count too."""
    types = dict(outer)
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.HasField("tensor_type"):
            types[value.name] = _name(value.type.tensor_type.elem_type)
    types |= {tensor.name: _name(tensor.data_type) for tensor in graph.initializer}
    for node in graph.node:
        found = _computed_in(node, [types.get(name, "") for name in node.input])
        if node.op_type == "Cast":
            found = next(_name(attribute.i) for attribute in node.attribute if attribute.name == "to")
        for name in node.output:
            types.setdefault(name, found)  # ORT states no types for what it inserts
        yield node.op_type, found
        for inner in subgraphs(node):
            yield from _typed(inner, types)


def _computed_in(node: onnx.NodeProto, inputs: list[str]) -> str:
    if node.op_type not in _WEIGHT_ONLY and _INTEGERS.intersection(inputs):
        return "float32" if node.op_type == "DequantizeLinear" else "int8"
    return next((name for name in inputs if name in _FLOATS), "")


def _name(elem_type: int) -> str:
    known = elem_type in onnx.helper.get_all_tensor_dtypes()
    return str(onnx.helper.tensor_dtype_to_np_dtype(elem_type).name) if known else ""
