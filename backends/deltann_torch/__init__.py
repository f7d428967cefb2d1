"""The PyTorch adapter: ONNX lowered operator by operator by a table of its own, run eagerly or through Inductor.

This module imports no torch; what does lies in submodules that `unsupported`, `lower` and `load` import.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from importlib import metadata
from pathlib import Path
from typing import ClassVar

from deltann.artifact import Artifact
from deltann.backend import Executable, Option, Variant, settings
from deltann.environment import Environment
from deltann.model import Model


class TorchBackend:
    """`torch` (eager) and `torch-compile` (Inductor)."""

    name: ClassVar[str] = "torch"
    summary: ClassVar[str] = "PyTorch, eager or compiled by Inductor; ONNX lowered by our own operator table"
    install: ClassVar[str] = "deltann[torch]"
    distribution: ClassVar[str] = "torch"
    variants: ClassVar[Mapping[str, Variant]] = {
        "compile": Variant({"mode": "compile"}, "torch.compile with Inductor, static shapes"),
    }
    options: ClassVar[Mapping[str, Option]] = {
        "mode": Option(
            "eager runs operator by operator; compile is torch.compile (Inductor)",
            default="eager",
            choices=("eager", "compile"),
            numerics=True,
        ),
        "precision": Option(
            "floating type of weights, inputs and everything computed from them; model keeps each value's type as the "
            "file says; any other replaces float16, bfloat16, float32 and float64 alike (a float16 model is computed "
            "in float32 by precision=float32)",
            default="model",
            choices=("model", "float32", "float64", "bfloat16", "float16"),
            numerics=True,
        ),
        "outputs": Option(
            "floating type of outputs where precision replaces types: declared is the file's, computed the precision",
            default="declared",
            choices=("declared", "computed"),
            numerics=True,
            at_load=True,
        ),
        "perturb": Option(
            "seed of random rounding: what each operator computes is moved by one unit in its last place, up or down; "
            "eager mode only",
            kind="count",
            numerics=True,
            at_load=True,
        ),
        "threads": Option(
            "threads inside one operator; torch's own choice if left out", kind="count", numerics=True, at_load=True
        ),
    }

    def version(self) -> str:
        return metadata.version(self.distribution)

    def devices(self) -> Sequence[str]:
        return "cpu", "cuda"

    def import_framework(self, env: Environment) -> None:
        """See `deltann.backend.Importing`."""
        del env
        from deltann_torch import support  # noqa: F401

    def unsupported(self, model: Model, env: Environment) -> str | None:
        """Operators that the table lacks; random rounding of what Inductor has fused."""
        values = settings(self, env)
        if values["perturb"] is not None and values["mode"] == "compile":
            return "perturb rounds after each operator, and Inductor fuses them: use the eager variant, torch"
        from deltann_torch.support import unsupported

        return unsupported(model)

    def lower(self, model: Model, env: Environment, workdir: Path) -> Artifact:
        from deltann_torch.lowering import lower

        return lower(self, model, env, workdir)

    def load(self, artifact: Artifact, env: Environment) -> AbstractContextManager[Executable]:
        from deltann_torch.executable import load

        return load(self, artifact, env)
