"""ONNX Runtime at its four graph-optimisation levels."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import onnx

from deltann.artifact import Artifact
from deltann.backend import Executable, Option, Tensors, Variant, enter, settings
from deltann.environment import Environment
from deltann.errors import Unavailable, Unsupported, one_line
from deltann.model import Model, fits_one_file
from deltann.outcome import Stage

if TYPE_CHECKING:
    import onnxruntime

_SOURCE = "source.onnx"
_OPTIMISED = "optimised.onnx"
_LOWERING = "lowering.json"
_LEVELS = {"0": "ORT_DISABLE_ALL", "1": "ORT_ENABLE_BASIC", "2": "ORT_ENABLE_EXTENDED", "3": "ORT_ENABLE_ALL"}
# The first is the device's own; the others run on it too.
_DEVICE_PROVIDERS = {
    "cpu": ("CPUExecutionProvider", "DnnlExecutionProvider", "XnnpackExecutionProvider"),
    "cuda": ("CUDAExecutionProvider", "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider"),
}
_log = logging.getLogger(__name__)


class OrtBackend:
    """The artifact on the CPU is the graph as ORT's own optimiser left it, loaded with no further optimisation."""

    name: ClassVar[str] = "ort"
    summary: ClassVar[str] = "ONNX Runtime"
    install: ClassVar[str] = "deltann[ort]"
    distribution: ClassVar[str] = "onnxruntime"
    variants: ClassVar[Mapping[str, Variant]] = {
        f"O{level}": Variant({"level": level}, f"graph optimisation level {name}") for level, name in _LEVELS.items()
    }
    options: ClassVar[Mapping[str, Option]] = {
        "level": Option("graph optimisation level; set by the variants", "3", choices=tuple(_LEVELS), numerics=True),
        "threads": Option("intra-op threads; ORT's own choice where absent", kind="count", numerics=True, at_load=True),
        "providers": Option(
            "execution providers, best first, joined with +; the device's where absent", kind="list", numerics=True
        ),
        "disabled_optimizers": Option(
            "optimisers not to apply (ORT's names), joined with +", kind="list", numerics=True
        ),
    }

    def version(self) -> str:
        """The version of `onnxruntime`, or of its GPU build."""
        try:
            return version(self.distribution)
        except PackageNotFoundError:
            return version("onnxruntime-gpu")

    def devices(self) -> Sequence[str]:
        """CPU and CUDA."""
        return tuple(_DEVICE_PROVIDERS)

    def unsupported(self, model: Model, env: Environment) -> str | None:
        """Providers of another device than the one named; what ORT lacks, it says itself when it reads the model."""
        del model
        providers = settings(self, env)["providers"]
        if env.device is None or not isinstance(providers, tuple) or providers[0] in _DEVICE_PROVIDERS[env.device]:
            return None
        known = ", ".join(_DEVICE_PROVIDERS[env.device])
        return (
            f"{providers[0]} does not run on {env.device}, whose providers are {known}: name one of them, or no device"
        )

    def lower(self, model: Model, env: Environment, workdir: Path) -> Artifact:
        """Optimise the graph once and keep it; for other providers than the CPU's keep the source and the settings.

        Raises:
            Unsupported: an operator, opset or optimiser that this ORT lacks; a model larger than one protobuf can
                be; see also `unsupported`.
        """
        if reason := self.unsupported(model, env):
            raise Unsupported(reason)
        providers = self._providers(env)
        proto = model.proto()
        if not fits_one_file(proto):
            raise Unsupported("with its external data the model exceeds 2 GB, the most that one protobuf file holds")
        if providers == ["CPUExecutionProvider"]:
            del proto
            enter(Stage.COMPILE)
            disabled = settings(self, env)["disabled_optimizers"]
            names = disabled if isinstance(disabled, tuple) else ()
            self._optimise(model, env, names, workdir / _OPTIMISED)
            if names:
                self._check_effect(model, env, names, workdir)
            return Artifact.of(workdir, [_OPTIMISED])
        onnx.save_model(proto, workdir / _SOURCE)
        lowering = {"level": settings(self, env)["level"], "providers": providers}
        (workdir / _LOWERING).write_text(json.dumps(lowering))
        return Artifact.of(workdir, [_SOURCE, _LOWERING])

    @contextmanager
    def load(self, artifact: Artifact, env: Environment) -> Iterator[Executable]:
        """Open a session on the artifact.

        Raises:
            Unavailable: this ORT or this machine lacks the provider asked for.
        """
        import onnxruntime

        options = self._session_options(env)
        file = artifact.folder / _SOURCE
        if _OPTIMISED in artifact.files:
            file = artifact.folder / _OPTIMISED
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        disabled = settings(self, env)["disabled_optimizers"]
        names = disabled if isinstance(disabled, tuple) else ()
        yield _Session(self._session(file, options, self._providers(env), names))

    def _optimise(self, model: Model, env: Environment, disabled: Sequence[str], file: Path) -> None:
        options = self._session_options(env)
        options.optimized_model_filepath = str(file)
        self._session(model.path, options, ["CPUExecutionProvider"], disabled)
        _name_nodes(file)

    def _check_effect(self, model: Model, env: Environment, disabled: Sequence[str], workdir: Path) -> None:
        """ORT lists no names and ignores those it does not know, so what the option does is seen by leaving it out.

        A name that stands nowhere in ORT's library is refused if it changes nothing (some names are put together when
        ORT runs); one that stands there may find nothing to do in this model, which the log says.
        """
        unknown = _not_in_library(disabled)
        file = workdir / "without.onnx"
        self._optimise(model, env, [name for name in disabled if unknown and name not in unknown], file)
        same = file.read_bytes() == (workdir / _OPTIMISED).read_bytes()
        file.unlink()
        if same and unknown:
            raise Unsupported(
                f"disabled_optimizers: {', '.join(unknown)} changes nothing, and ONNX Runtime {self.version()} holds "
                "no such name; correct or drop it"
            )
        if same:
            _log.warning("disabled_optimizers=%s changes nothing: the graph is the same without", "+".join(disabled))

    def _providers(self, env: Environment) -> list[str]:
        import onnxruntime

        chosen = settings(self, env)["providers"]
        wanted = list(chosen) if isinstance(chosen, tuple) else [_DEVICE_PROVIDERS[env.device or "cpu"][0]]
        available = onnxruntime.get_available_providers()
        for provider in wanted:
            if provider not in available:
                raise Unavailable(f"this ONNX Runtime has no {provider}; it has {', '.join(available)}")
        return wanted

    def _session_options(self, env: Environment) -> onnxruntime.SessionOptions:
        import onnxruntime

        values = settings(self, env)
        options = onnxruntime.SessionOptions()
        level = _LEVELS[str(values["level"])]
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        # Warnings about serialising hardware-specific graphs are what we ask for, not news.
        options.log_severity_level = 3
        if isinstance(values["threads"], int):
            options.intra_op_num_threads = values["threads"]
        return options

    def _session(self, file: Path, options: Any, providers: list[str], disabled: Sequence[str]) -> Any:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as errors

        try:
            session = onnxruntime.InferenceSession(
                str(file),
                options,
                providers=providers,
                disabled_optimizers=list(disabled) or None,
            )
        except (errors.NotImplemented, errors.Fail, errors.InvalidGraph) as error:
            if reason := _lacking(str(error)):
                raise Unsupported(f"ONNX Runtime {self.version()}: {reason}") from error
            raise
        if session.get_providers()[0] != providers[0]:
            raise Unavailable(
                f"ONNX Runtime fell back from {providers[0]} to {session.get_providers()[0]}; see its log"
            )
        return session


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


def _not_in_library(names: Sequence[str]) -> list[str]:
    from onnxruntime.capi import onnxruntime_pybind11_state as library

    binary = Path(library.__file__).read_bytes()
    return [name for name in names if name.encode() not in binary]


def _name_nodes(file: Path) -> None:
    """Name nodes by their place: ORT numbers those it adds in an order that varies, which is no difference."""
    model = onnx.load(file)
    for number, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{number}"
    onnx.save_model(model, file)


class _Session:
    def __init__(self, session: Any) -> None:
        self._session = session
        self._names = [output.name for output in session.get_outputs()]

    def run(self, inputs: Tensors) -> Tensors:
        """Run the session; it returns when the outputs are on the host."""
        outputs = self._session.run(self._names, dict(inputs))
        return dict(zip(self._names, outputs, strict=True))
