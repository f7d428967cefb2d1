"""IREE on the CPU: ONNX to MLIR by IREE's importer, compiled by LLVM for the CPU at hand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from onnx import defs

from deltann.artifact import Artifact
from deltann.backend import Executable, Option, Variant, enter, settings
from deltann.environment import Environment
from deltann.errors import Unavailable, Unsupported
from deltann.model import Model, fits_one_file
from deltann.outcome import Stage
from deltann_iree.frontend import ENTRY, compile_mlir, host_cpu, to_mlir
from deltann_iree.program import DTYPES, Program
from deltann_iree.static import static

_MODULE = "module.vmfb"
_LOWERING = "lowering.json"
_LEVELS = {
    "O0": "IREE's optimisation level O0, which IREE 3.13 takes by default",
    "O1": "IREE's optimisation level O1",
    "O2": "IREE's optimisation level O2",
    "O3": "IREE's optimisation level O3",
}


class IreeBackend:
    """The artifact is a module for IREE's virtual machine, weights included, for CPUs of the kind it was made on.

    It carries no debug symbols: they hold a checksum that is another each time.
    """

    name: ClassVar[str] = "iree"
    summary: ClassVar[str] = "IREE (MLIR, LLVM for the CPU)"
    install: ClassVar[str] = "deltann[iree]"
    distribution: ClassVar[str] = "iree-base-compiler"
    variants: ClassVar[Mapping[str, Variant]] = {
        level: Variant({"opt": level}, text) for level, text in _LEVELS.items()
    }
    options: ClassVar[Mapping[str, Option]] = {
        "opt": Option(
            "--iree-opt-level; the compiler's default where absent; set by the variants",
            choices=tuple(_LEVELS),
            numerics=True,
        ),
        "threads": Option("workers of the task system; IREE's own choice where absent", kind="count", at_load=True),
    }

    def version(self) -> str:
        """The version of `iree-base-compiler`."""
        return version(self.distribution)

    def devices(self) -> Sequence[str]:
        """The CPU only."""
        return ("cpu",)

    def unsupported(self, model: Model, env: Environment) -> str | None:
        """An opset yet unknown, and element types that numpy lacks."""
        del env
        if model.opset > defs.onnx_opset_version():
            # IREE would read it as the newest opset that it knows.
            return f"opset {model.opset} is newer than the newest that onnx knows, {defs.onnx_opset_version()}"
        for spec in (*model.inputs, *model.outputs):
            if spec.dtype not in DTYPES:
                return f"IREE exchanges no numpy arrays of {spec.dtype} ('{spec.name}')"
        return None

    def lower(self, model: Model, env: Environment, workdir: Path) -> Artifact:
        """Import with static shapes and compile for this CPU.

        Raises:
            Unsupported: what IREE's importer or compiler refuses; a model larger than one protobuf can be; see also
                `unsupported`.
            Unavailable: IREE's compiler or runtime is not installed.
        """
        _check_installed()
        if reason := self.unsupported(model, env):
            raise Unsupported(reason)
        proto = model.proto()
        if not fits_one_file(proto):
            raise Unsupported("with its external data the model exceeds 2 GB, the most that one protobuf file holds")
        bytecode = to_mlir(static(proto, {spec.name: spec.static_shape for spec in model.inputs}))
        enter(Stage.COMPILE)
        level = settings(self, env)["opt"]
        compile_mlir(bytecode, None if level is None else str(level), workdir / _MODULE)
        lowering = {
            "cpu": host_cpu(),
            "entry": ENTRY,
            "inputs": [spec.name for spec in model.inputs],
            "outputs": [[spec.name, spec.dtype] for spec in model.outputs],
        }
        (workdir / _LOWERING).write_text(json.dumps(lowering))
        return Artifact.of(workdir, [_MODULE, _LOWERING])

    @contextmanager
    def load(self, artifact: Artifact, env: Environment) -> Iterator[Executable]:
        """Load the module on IREE's task system.

        Raises:
            Unavailable: IREE's compiler or runtime is not installed, or the module was compiled for another CPU.
        """
        _check_installed()
        lowering = json.loads((artifact.folder / _LOWERING).read_text())
        if lowering["cpu"] != list(host_cpu()):
            raise Unavailable(
                f"compiled for the CPU {lowering['cpu'][0]}; this one is {host_cpu()[0]}: compile it here"
            )
        threads = settings(self, env)["threads"]
        yield Program(artifact.folder / _MODULE, lowering, threads if isinstance(threads, int) else None)


def _check_installed() -> None:
    # The parent first: `find_spec` imports it.
    if find_spec("iree") is None or find_spec("iree.compiler") is None or find_spec("iree.runtime") is None:
        raise Unavailable("IREE's compiler or runtime is not installed: pip install 'deltann[iree]'")
