"""Sessions: opened on exactly the providers asked for, their refusals told apart from their faults."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from deltann.backend import Value
from deltann.errors import Unavailable, Unsupported, one_line
from deltann_ort.order import in_order

if TYPE_CHECKING:
    import onnxruntime

CPU = "CPUExecutionProvider"
LEVELS = {"0": "ORT_DISABLE_ALL", "1": "ORT_ENABLE_BASIC", "2": "ORT_ENABLE_EXTENDED", "3": "ORT_ENABLE_ALL"}
# The first is the device's own; the others run on it too.
DEVICE_PROVIDERS = {
    "cpu": (CPU, "DnnlExecutionProvider", "XnnpackExecutionProvider"),
    "cuda": ("CUDAExecutionProvider", "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider"),
}


def ort_version() -> str:
    """The version of `onnxruntime`, or of its GPU build."""
    try:
        return version("onnxruntime")
    except PackageNotFoundError:
        return version("onnxruntime-gpu")


def providers_of(values: Mapping[str, Value | None], device: str | None) -> list[str]:
    """The providers that the settings name, or the device's own.

    Raises:
        Unavailable: this ORT was built without one of them.
    """
    import onnxruntime

    chosen = values["providers"]
    wanted = list(chosen) if isinstance(chosen, tuple) else [DEVICE_PROVIDERS[device or "cpu"][0]]
    available = onnxruntime.get_available_providers()
    for provider in wanted:
        if provider not in available:
            raise Unavailable(
                f"this ONNX Runtime has no {provider}; it has {', '.join(available)}{_gpu_build(provider)}"
            )
    if set(wanted) & set(DEVICE_PROVIDERS["cuda"]) and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # else CUDA's libraries of pip's nvidia packages are not found, and the CPU computes
    return wanted


def _gpu_build(provider: str) -> str:
    in_gpu_build = provider in DEVICE_PROVIDERS["cuda"][:2]
    return ": pip uninstall onnxruntime, then pip install onnxruntime-gpu" if in_gpu_build else ""


def session_options(level: str, threads: Value | None = None) -> onnxruntime.SessionOptions:
    """Options for a session at an optimisation level, of as many intra-op threads, or of ORT's own choice."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, LEVELS[level])
    # Warnings about serialising hardware-specific graphs are what we ask for, not news.
    options.log_severity_level = 3
    if isinstance(threads, int):
        options.intra_op_num_threads = threads
    return options


def open_session(file: Path, options: Any, providers: Sequence[str], disabled: Sequence[str] = ()) -> Any:
    """An `InferenceSession`.

    Raises:
        Unsupported: ORT lacks an operator, an opset or an IR version of the model; the message names it.
        Unavailable: ORT dropped one of the providers, and would have others compute instead.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    try:
        session = onnxruntime.InferenceSession(
            str(file), options, providers=list(providers), disabled_optimizers=list(disabled) or None
        )
    except (errors.NotImplemented, errors.Fail, errors.InvalidGraph) as error:
        if reason := _lacking(str(error)):
            raise Unsupported(f"ONNX Runtime {ort_version()}: {reason}") from error
        raise
    registered = session.get_providers()
    if registered[: len(providers)] != list(providers):
        if not (dropped := [provider for provider in providers if provider not in registered]):
            raise Unavailable(
                f"ONNX Runtime registered {', '.join(registered)} where {', '.join(providers)} was asked for: nodes go "
                "to the first that takes them, so name the providers in that order"
            )
        lost = dropped[0]
        raise Unavailable(
            f"ONNX Runtime could not load {lost} and fell back to {', '.join(registered)}: its log says which "
            "library or device it misses"
        )
    return session


def optimise(source: Path, target: Path, level: str, disabled: Sequence[str]) -> None:
    """Write the graph as ORT's optimiser leaves it for the CPU. Raises as `open_session` does."""
    options = session_options(level)
    options.optimized_model_filepath = str(target)
    session = open_session(source, options, [CPU], disabled)
    model = onnx.load(target)
    # ORT 1.31 folds weights that were listed as inputs too and leaves their inputs, which the file would ask for.
    wanted = {value.name for value in session.get_inputs()} | {tensor.name for tensor in model.graph.initializer}
    kept = [value for value in model.graph.input if value.name in wanted]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    in_order(model.graph)
    onnx.save_model(model, target)


def not_in_library(names: Sequence[str]) -> list[str]:
    """Those of `names` that stand nowhere in ORT's binary."""
    from onnxruntime.capi import onnxruntime_pybind11_state as library

    binary = Path(library.__file__).read_bytes()
    return [name for name in names if name.encode() not in binary]


def _lacking(message: str) -> str | None:
    """The operator or opset that ORT says it lacks, shortened; None where it complains of something else."""
    patterns = (
        r"[\w.]+:?\w*\(-?\d+\) is not a registered function/op",
        r"No Op registered for \w+ with domain_version of \d+",
        r"Could not find an implementation for [^\n]*",
        r"Opset \d+ is under development[^\n.]*",
        r"Unsupported model IR version[^\n]*",
        r"[Oo]pset[^\n]*not supported[^\n]*",
    )
    found = next((match for pattern in patterns if (match := re.search(pattern, message))), None)
    return one_line(found[0]) if found else None
