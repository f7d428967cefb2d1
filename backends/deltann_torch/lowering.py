"""`lower`: check that the model builds, and write what `load` needs.

The artifact is the ONNX model, external data inside; `lowering.json`, which says what lowering decided: mode,
precision, the shapes that were bound; for compile mode also threads and device, which Inductor's code depends on; and
`inferred.json`, the types and shapes of what each operator returns.
Inductor's own cache lies beside them but is no part of the artifact: it holds pickles and code for this very
processor, so it never travels. On the host that lowered, `load` finds it and need not compile again; elsewhere `load`
compiles, and says so.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import ModelProto

from deltann.artifact import Artifact
from deltann.backend import Backend, enter, settings
from deltann.environment import Environment
from deltann.errors import Unavailable, Unsupported, one_line
from deltann.lowering.files import write_model
from deltann.lowering.graph import read_graph
from deltann.model import Model
from deltann.outcome import Stage
from deltann_torch.build import build
from deltann_torch.compilation import cached_in, compiled, warm_up
from deltann_torch.dtypes import at_precision, torch_dtype
from deltann_torch.inference import Inference
from deltann_torch.perturb import RandomRounding

_NO_CODE = (
    "no kernel image is available",
    "device kernel image is invalid",
    "PTX was compiled with an unsupported toolchain",
    "PTX JIT compiler library not found",
    "not compatible with the current PyTorch installation",
    "forward compatibility was attempted on non supported HW",
    "CUDA driver version is insufficient for CUDA runtime version",
)
"""What CUDA, or torch, says where the build, the driver and the GPU do not go together."""
LOWERING, INFERRED, CACHE = "lowering.json", "inferred.json", "inductor"


@dataclass(frozen=True)
class Lowering:
    """What `lowering.json` holds. `inputs` are (name, numpy dtype, shape), `outputs` (name, numpy dtype)."""

    mode: str
    precision: str
    inputs: list[tuple[str, str, list[int]]]
    outputs: list[tuple[str, str]]
    threads: int | None = None
    device: str | None = None

    @classmethod
    def read(cls, folder: Path) -> Lowering:
        return cls(**json.loads((folder / LOWERING).read_text()))

    def write(self, folder: Path) -> None:
        (folder / LOWERING).write_text(json.dumps(asdict(self), indent=1))

    @property
    def dtype(self) -> torch.dtype | None:
        """The torch dtype of `precision`; None to keep the file's types."""
        return None if self.precision == "model" else getattr(torch, self.precision)

    def examples(self, device: torch.device | str) -> list[torch.Tensor]:
        """Zeros of the inputs' shapes at the run's precision (zero is a valid index too)."""
        return [
            torch.zeros(shape, dtype=at_precision(_dtype(dtype), self.dtype), device=device)
            for _, dtype, shape in self.inputs
        ]


def _dtype(name: str) -> torch.dtype:
    if name in ("object", "str"):
        raise Unsupported("torch has no tensors of strings")
    return torch_dtype(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(name)))


def module(
    lowering: Lowering,
    proto: ModelProto,
    device: torch.device,
    inference: Inference,
    rounding: RandomRounding | None = None,
) -> Any:
    """The torch module of the model, its constants on `device`."""
    graph = read_graph(proto)
    metas = dict(zip((name for name, *_ in lowering.inputs), lowering.examples("meta"), strict=True))
    eager = lowering.mode == "eager"
    return build(graph, metas, lowering.dtype, device, inference=inference, rounding=rounding, eager=eager)


def device_of(env: Environment) -> torch.device:
    """The device that the environment asks for.

    Raises:
        Unavailable: CUDA is asked for and torch sees no such device, or has no code for the one there is.
    """
    device = torch.device(env.device or "cpu")
    if device.type != "cuda":
        return device
    if not torch.cuda.is_available():
        raise Unavailable(
            f"torch {torch.__version__} sees no CUDA device: install a CUDA build of torch (pip install torch) on a "
            "machine with an NVIDIA GPU and its driver, or use torch:cpu"
        )
    try:
        torch.ones(1, device=device).add_(1).item()
    except RuntimeError as error:
        # A build holds code for some generations of GPUs alone, which shows at the first kernel. Anything else, such as
        # a full or a broken device, is a finding.
        if not any(what in str(error) for what in _NO_CODE):
            raise
        raise Unavailable(
            f"torch {torch.__version__} cannot compute on {torch.cuda.get_device_name(device)}: {one_line(str(error))}"
        ) from error
    return device


def lower(backend: Backend, model: Model, env: Environment, workdir: Path) -> Artifact:
    """See `Backend.lower`."""
    values = settings(backend, env)
    if reason := backend.unsupported(model, env):
        raise Unsupported(reason)
    compiling = values["mode"] == "compile"
    device = device_of(env) if compiling else torch.device("cpu")
    threads = values["threads"]
    lowering = Lowering(
        mode=str(values["mode"]),
        precision=str(values["precision"]),
        inputs=[(spec.name, spec.dtype, list(spec.static_shape)) for spec in model.inputs],
        outputs=[(spec.name, spec.dtype) for spec in model.outputs],
        threads=int(threads) if compiling and isinstance(threads, int) else None,
        device=str(device) if compiling else None,
    )
    proto = model.proto()
    inference = Inference()
    built = module(lowering, proto, device, inference)
    files = [*write_model(proto, workdir), LOWERING, INFERRED]
    lowering.write(workdir)
    inference.write(workdir / INFERRED)
    if compiling:
        enter(Stage.COMPILE)
        with cached_in(workdir / CACHE, lowering.threads):
            warm_up(compiled(built, device), lowering.examples(device))
    return Artifact.of(workdir, files)
