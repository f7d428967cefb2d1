"""tract, the inference engine written in Rust, on the CPU."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from onnx import defs

from deltann.artifact import Artifact
from deltann.backend import Executable, Option, Tensors, Variant, enter
from deltann.environment import Environment
from deltann.errors import Unavailable, Unsupported, one_line
from deltann.lowering.static import with_static_inputs
from deltann.model import Model, fits_one_file
from deltann.outcome import Stage
from deltann_tract.binding import DTYPES, facts

_MODEL = "model.onnx"
_LOWERING = "lowering.json"
_RUNTIME = "cpu"
_THREADS = Path("/proc/self/task")
_FMA = re.compile(r"FMA\((\w+)\)")


class TractBackend:
    """The artifact is the model with static shapes, which tract declutters and optimises each time that it loads it.

    tract can write what it made of a model (as NNEF), but not all of it, and not always the same model. Its Python
    package optimises every model and computes in the calling thread, hence neither variants nor options.
    """

    name: ClassVar[str] = "tract"
    summary: ClassVar[str] = "tract (Sonos' engine in Rust)"
    install: ClassVar[str] = "deltann[tract]"
    distribution: ClassVar[str] = "tract"
    variants: ClassVar[Mapping[str, Variant]] = {}
    options: ClassVar[Mapping[str, Option]] = {}

    def version(self) -> str:
        """The version of `tract`."""
        return version(self.distribution)

    def devices(self) -> Sequence[str]:
        """The CPU only."""
        return ("cpu",)

    def unsupported(self, model: Model, env: Environment) -> str | None:
        """An opset yet unknown, and element types that numpy and tract do not both have."""
        del env
        if model.opset > defs.onnx_opset_version():
            # tract would read it as if it were one that it knows.
            return f"opset {model.opset} is newer than the newest that onnx knows, {defs.onnx_opset_version()}"
        for spec in (*model.inputs, *model.outputs):
            if spec.dtype not in DTYPES:
                return f"tract has no element type {spec.dtype} ('{spec.name}')"
        return None

    def lower(self, model: Model, env: Environment, workdir: Path) -> Artifact:
        """Bind the shapes, and have tract read and optimise the model once, to learn whether it will.

        Raises:
            Unsupported: what tract refuses; a model larger than one protobuf can be; see also `unsupported`.
        """
        if reason := self.unsupported(model, env):
            raise Unsupported(reason)
        proto = model.proto()
        if not fits_one_file(proto):
            raise Unsupported("with its external data the model exceeds 2 GB, the most that one protobuf file holds")
        # A symbol is for tract a number of its own, never equal to 1.
        with_static_inputs(proto, {spec.name: spec.static_shape for spec in model.inputs})
        (workdir / _MODEL).write_bytes(proto.SerializeToString(deterministic=True))
        inputs = facts(model)
        lowering = {"inputs": inputs, "outputs": [spec.name for spec in model.outputs]}
        (workdir / _LOWERING).write_text(json.dumps(lowering))
        typed, _ = _read(workdir / _MODEL, inputs)
        enter(Stage.COMPILE)
        _prepare(typed)
        return Artifact.of(workdir, [_MODEL, _LOWERING])

    @contextmanager
    def load(self, artifact: Artifact, env: Environment) -> Iterator[Executable]:
        """Read and optimise the artifact.

        Raises:
            Unavailable: tract is not installed.
        """
        del env
        lowering = json.loads((artifact.folder / _LOWERING).read_text())
        threads = _threads()
        typed, inputs = _read(artifact.folder / _MODEL, lowering["inputs"])
        yield _Program(_prepare(typed), inputs, lowering["outputs"], threads)


def _tract() -> Any:
    if find_spec("tract") is None:
        raise Unavailable("tract is not installed: pip install 'deltann[tract]'")
    import tract

    return tract


def _read(file: Path, facts: Mapping[str, str]) -> tuple[Any, list[str]]:
    """The typed model, and the names of its inputs in tract's order."""
    tract = _tract()
    with _refused():
        model = tract.onnx().load(file)
        names = [model.input_name(index) for index in range(model.input_count())]
        for index, name in enumerate(names):
            model.set_input_fact(index, facts[name])
        return model.into_model(), names


def _prepare(typed: Any) -> Any:
    with _refused():
        return _tract().runtime_for_name(_RUNTIME).prepare(typed)


@contextmanager
def _refused() -> Iterator[None]:
    """tract has one exception for all that it cannot do, with the chain of causes and then a stack in its text."""
    try:
        yield
    except _tract().TractError as error:
        lines = [line.strip() for line in str(error).partition("Stack backtrace:")[0].splitlines() if line.strip()]
        cause = lines[-1].partition(": ")[2] if lines[-1][:1].isdecimal() else lines[-1]
        raise Unsupported(f"tract: {one_line(': '.join(dict.fromkeys([lines[0], cause])))}") from error


def _threads() -> set[str]:
    """The threads of this process; none where the kernel does not tell."""
    return {thread.name for thread in _THREADS.glob("*")}


def _precision(profile: Mapping[str, Any]) -> str | None:
    """The type in which tract counts most multiply-adds (a node's cost is such as `{"FMA(F32)": "18432"}`)."""
    counts: Counter[str] = Counter()
    for node in profile["nodes"]:
        for kind, amount in node.get("cost", {}).items():
            if (match := _FMA.fullmatch(kind)) and amount.isdecimal():
                counts[match[1].lower()] += int(amount)
    names = {short: name for name, short in DTYPES.items()}
    return next((names.get(kind, kind) for kind, _ in counts.most_common(1)), None)


class _Program:
    def __init__(self, runnable: Any, inputs: Sequence[str], outputs: Sequence[str], threads: set[str]) -> None:
        self._runnable, self._inputs, self._outputs = runnable, inputs, outputs
        self._threads = threads
        facts = [runnable.output_fact(index).dump() for index in range(runnable.output_count())]
        self._symbolic = [fact.rpartition(",")[2] == "tdim" for fact in facts]

    def run(self, inputs: Tensors) -> Tensors:
        """Run once; outputs are copies."""
        integer = _tract().DatumType.I64
        results = self._runnable.run([np.asarray(inputs[name]) for name in self._inputs])
        # What computes with shapes is of tract's type for dimensions, which has no numpy counterpart.
        plain = [t.convert_to(integer) if dims else t for t, dims in zip(results, self._symbolic, strict=True)]
        return {name: tensor.to_numpy() for name, tensor in zip(self._outputs, plain, strict=True)}

    def actual(self) -> Mapping[str, str]:
        """The runtime, the type of most multiplications, and how many threads compute.

        Those are the caller's and the ones that appeared since loading began.
        """
        told = {"device": _tract().runtime_for_name(_RUNTIME).name()}
        if precision := _precision(json.loads(self._runnable.profile_json(None))):
            told["precision"] = precision
        if self._threads:
            told["threads"] = str(1 + len(_threads() - self._threads))
        return told
