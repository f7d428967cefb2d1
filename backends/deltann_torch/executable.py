"""`load`: the artifact as something that runs numpy arrays."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch

from deltann.artifact import Artifact
from deltann.backend import Backend, Executable, Tensors, enter, settings
from deltann.environment import Environment
from deltann.lowering.files import MODEL
from deltann.outcome import Stage
from deltann_torch.compilation import cached_in, compiled, threads_set, warm_up
from deltann_torch.dtypes import FLOAT_NAMES, FLOATS, to_numpy, to_torch
from deltann_torch.inference import Inference
from deltann_torch.lowering import CACHE, INFERRED, Lowering, device_of, module
from deltann_torch.perturb import RandomRounding


@contextmanager
def load(backend: Backend, artifact: Artifact, env: Environment) -> Iterator[Executable]:
    """See `Backend.load`. In compile mode the model is compiled, or taken from its cache, before it is handed out."""
    values = settings(backend, env)
    threads, seed = values["threads"], values["perturb"]
    asked = int(threads) if isinstance(threads, int) else None
    lowering = Lowering.read(artifact.folder)
    device = device_of(env)
    rounding = RandomRounding(seed, device) if isinstance(seed, int) else None
    with ExitStack() as stack:
        stack.enter_context(threads_set(asked))
        inference = Inference.read(artifact.folder / INFERRED)
        built = module(lowering, onnx.load(artifact.folder / MODEL), device, inference, rounding)
        elsewhere = {str(buffer.device) for buffer in built.buffers() if buffer.device.type != device.type}
        if elsewhere:
            raise RuntimeError(f"{device} was asked for, but constants of the model lie on {', '.join(elsewhere)}")
        precision = _precision(built.buffers(), lowering)
        constants = frozenset(buffer.untyped_storage().data_ptr() for buffer in built.buffers())
        if lowering.mode == "compile":
            enter(Stage.COMPILE)
            stack.enter_context(cached_in(artifact.folder / CACHE, lowering.threads))
            built = compiled(built, device)
            warm_up(built, lowering.examples(device))
            enter(Stage.LOAD)
        declared = lowering.dtype is not None and values["outputs"] == "declared"
        yield _Executable(built, lowering, device, constants, precision, asked, declared, rounding)


@dataclass(frozen=True)
class _Executable:
    module: Any
    lowering: Lowering
    device: torch.device
    constants: frozenset[int]
    precision: str
    threads: int | None
    declared: bool
    rounding: RandomRounding | None

    def run(self, inputs: Tensors) -> dict[str, npt.NDArray[np.generic]]:
        """Run once.

        Raises:
            ValueError: an input is missing or unknown, or has another shape than the one the model was lowered for.
        """
        names = [name for name, *_ in self.lowering.inputs]
        if set(names) != set(inputs):
            raise ValueError(f"the model takes the inputs {names}, not {sorted(inputs)}")
        with torch.inference_mode():
            if self.rounding is not None:
                self.rounding.begin(inputs)
            tensors = [self._tensor(name, shape, inputs[name]) for name, _, shape in self.lowering.inputs]
            outputs: Sequence[torch.Tensor] = self.module(*tensors)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)  # kernels are only queued by then; their errors show here
            if strayed := {str(output.device) for output in outputs if output.device.type != self.device.type}:
                raise RuntimeError(f"{self.device} was asked for, but outputs were made on {', '.join(strayed)}")
            # What only passes an input or a weight on is copied: nobody may write into those.
            held = self.constants | {tensor.untyped_storage().data_ptr() for tensor in tensors}
            return {
                name: self._array(output.clone() if output.untyped_storage().data_ptr() in held else output, dtype)
                for (name, dtype), output in zip(self.lowering.outputs, outputs, strict=True)
            }

    def actual(self) -> dict[str, str]:
        """See `deltann.backend.Telling`. torch computes in its operands' type, so most of it in the weights' own."""
        if self.device.type == "cpu":
            cpu = {
                "threads": str(torch.get_num_threads()),
                "device": f"cpu ({torch.backends.cpu.get_cpu_capability()})",
            }
            return {"precision": self.precision, **cpu}
        facts = {"precision": self.precision, "device": torch.cuda.get_device_name(self.device)}
        if self.threads is not None:
            facts["ignored"] = f"threads={self.threads}: {self.device} computes"
        if note := tf32(self.precision, self.device):
            facts["note"] = note
        return facts

    def _array(self, output: torch.Tensor, dtype: str) -> npt.NDArray[np.generic]:
        """The output; only a float that a precision replaced gets its declared type again, so a wrong type shows."""
        array = to_numpy(output)
        replaced = self.declared and output.dtype in FLOATS and dtype in FLOAT_NAMES
        return array.astype(dtype, copy=False) if replaced else array

    def _tensor(self, name: str, shape: Sequence[int], array: npt.NDArray[np.generic]) -> torch.Tensor:
        if list(array.shape) != list(shape):
            raise ValueError(f"'{name}' has the shape {list(array.shape)}; the model was lowered for {list(shape)}")
        tensor = to_torch(array)
        precision = self.lowering.dtype
        dtype = precision if precision is not None and tensor.dtype in FLOATS else tensor.dtype
        return tensor.to(self.device, dtype)


def tf32(precision: str, device: torch.device) -> str:
    """Which float32 arithmetic the GPU `device` may do in TF32, whose products have 11 bits; empty where none.

    `NVIDIA_TF32_OVERRIDE=0` has NVIDIA's libraries refuse it, and GPUs before compute capability 8.0 lack it.
    """
    if precision != "float32" or os.environ.get("NVIDIA_TF32_OVERRIDE") == "0":
        return ""
    if torch.cuda.get_device_capability(device) < (8, 0):
        return ""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    allowed = {
        "convolutions in TF32 (torch.backends.cudnn.allow_tf32)": _in_tf32(cudnn, "conv"),
        "products in TF32 (torch.backends.cuda.matmul.allow_tf32)": _in_tf32(matmul),
    }
    if not _in_tf32(cudnn, "conv") and _in_tf32(cudnn, "rnn"):
        allowed["recurrences in TF32 (torch.backends.cudnn.rnn.fp32_precision)"] = True
    told = [what for what, may in allowed.items() if may]
    return f"CUDA may compute float32 {' and '.join(told)}" if told else ""


def _in_tf32(settings: Any, part: str | None = None) -> bool:
    """Once somebody sets `fp32_precision` (torch 2.9), reading `allow_tf32` raises; the former follows the latter."""
    precision = getattr(settings if part is None else getattr(settings, part, None), "fp32_precision", None)
    return bool(settings.allow_tf32) if precision is None else precision == "tf32"


def _precision(constants: Iterable[torch.Tensor], lowering: Lowering) -> str:
    """The floating type of most of the weights' numbers; of the inputs, where there are no such weights."""
    numbers: Counter[torch.dtype] = Counter()
    for tensor in (*constants, *lowering.examples("meta")):
        # Inputs have no say where there are weights: they count as one number.
        numbers[tensor.dtype] += tensor.numel() if tensor.device.type != "meta" else 1
    floats = [dtype for dtype, _ in numbers.most_common() if dtype in FLOATS]
    return str(floats[0]).removeprefix("torch.") if floats else "integers"
