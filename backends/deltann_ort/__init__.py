"""ONNX Runtime at its four graph-optimisation levels, as the model is or in a lower precision."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import onnx

from deltann.artifact import Artifact
from deltann.backend import Executable, Option, Tensors, Value, Variant, enter, settings
from deltann.environment import Environment
from deltann.errors import Unsupported
from deltann.model import Model, fits_one_file
from deltann.outcome import Stage
from deltann_ort import convert, session
from deltann_ort.executable import OrtExecutable
from deltann_ort.session import CPU, DEVICE_PROVIDERS, LEVELS

_SOURCE = "source.onnx"
_OPTIMISED = "optimised.onnx"
_LOWERING = "lowering.json"
_log = logging.getLogger(__name__)


class OrtBackend:
    """The artifact on the CPU is the graph as ORT's own optimiser left it, loaded with no further optimisation."""

    name: ClassVar[str] = "ort"
    summary: ClassVar[str] = "ONNX Runtime"
    install: ClassVar[str] = "deltann[ort]"
    distribution: ClassVar[str] = "onnxruntime"
    variants: ClassVar[Mapping[str, Variant]] = {
        **{
            f"O{level}": Variant({"level": level}, f"graph optimisation level {name}") for level, name in LEVELS.items()
        },
        "int8": Variant({"precision": "int8"}, "8-bit quantisation by ORT's own tool, calibrated on the run's inputs"),
        "dynamic": Variant({"quantise": "dynamic"}, "with int8: activations are quantised in each run, uncalibrated"),
        "fp16": Variant(
            {"precision": "float16"}, "float16 by ORT's own converter; inputs and outputs keep their types"
        ),
    }
    options: ClassVar[Mapping[str, Option]] = {
        "level": Option("graph optimisation level; set by the variants", "3", choices=tuple(LEVELS), numerics=True),
        "threads": Option("intra-op threads; ORT's own choice where absent", kind="count", numerics=True, at_load=True),
        "providers": Option(
            "execution providers, best first, joined with +; the device's where absent", kind="list", numerics=True
        ),
        "disabled_optimizers": Option(
            "optimisers not to apply (ORT's names), joined with +", kind="list", numerics=True
        ),
        "precision": Option(
            "what the model is converted to; model leaves it as it is",
            "model",
            choices=("model", "int8", "float16"),
            numerics=True,
        ),
        "quantise": Option(
            "for int8: static calibrates ranges beforehand, dynamic takes each run's own; static where absent",
            choices=("static", "dynamic"),
            numerics=True,
        ),
        "samples": Option(
            "for static int8: on how many of the first samples it is calibrated", "100", kind="count", numerics=True
        ),
    }

    def version(self) -> str:
        """The version of `onnxruntime`, or of its GPU build."""
        return session.ort_version()

    def devices(self) -> Sequence[str]:
        """CPU and CUDA."""
        return tuple(DEVICE_PROVIDERS)

    def unsupported(self, model: Model, env: Environment) -> str | None:
        """Options of a quantisation that is not asked for; providers of another device than the one named.

        What ORT lacks, it says itself when it reads the model.
        """
        del model
        values = settings(self, env)
        if values["quantise"] is not None and values["precision"] != "int8":
            return "quantise (and the variant dynamic) is for precision=int8: write ort-int8-dynamic, or leave it out"
        if "samples" in dict(env.options) and not self.calibration_samples(env):
            return "samples is for static int8, and nothing else is calibrated: write ort-int8, or leave it out"
        providers = values["providers"]
        if env.device is None or not isinstance(providers, tuple) or providers[0] in DEVICE_PROVIDERS[env.device]:
            return None
        known = ", ".join(DEVICE_PROVIDERS[env.device])
        return (
            f"{providers[0]} does not run on {env.device}, whose providers are {known}: name one of them, or no device"
        )

    def calibration_samples(self, env: Environment) -> int:
        """The option `samples` where int8 is static, 0 elsewhere."""
        values = settings(self, env)
        calibrated = values["precision"] == "int8" and values["quantise"] != "dynamic"
        return int(str(values["samples"])) if calibrated else 0

    def lower(self, model: Model, env: Environment, workdir: Path) -> Artifact:
        """Convert if asked to, optimise the graph once and keep it; for other providers keep source and settings.

        Raises:
            Unsupported: `env` is calibrated; it needs `lower_calibrated`.
            Unsupported: an operator, opset or optimiser that this ORT lacks; a model larger than one protobuf can
                be; nothing in it to quantise; see also `unsupported`.
        """
        return self.lower_calibrated(model, env, workdir, ())

    def lower_calibrated(self, model: Model, env: Environment, workdir: Path, batches: Sequence[Tensors]) -> Artifact:
        """See `lower`.

        Raises:
            Unsupported: no samples, or such as cannot calibrate this model; see `convert.quantise_static`.
        """
        if reason := self.unsupported(model, env):
            raise Unsupported(reason)
        if self.calibration_samples(env) and not batches:
            raise Unsupported(
                f"{env} is calibrated on the run's inputs, and got none: give inputs, or use ort-int8-dynamic"
            )
        values = settings(self, env)
        providers = session.providers_of(values, env.device)
        if model.external() and not fits_one_file(model.proto()):
            raise Unsupported("with its external data the model exceeds 2 GB, the most that one protobuf file holds")
        disabled = _names(values)
        if providers == [CPU]:
            _optimise(model, values, batches, disabled, workdir / _OPTIMISED)
            if disabled:
                _check_effect(model, values, batches, disabled, workdir)
            return Artifact.of(workdir, [_OPTIMISED])
        onnx.save_model(_converted(model, values, batches, disabled), workdir / _SOURCE)
        lowering = {"level": values["level"], "providers": providers}
        (workdir / _LOWERING).write_text(json.dumps(lowering))
        return Artifact.of(workdir, [_SOURCE, _LOWERING])

    @contextmanager
    def load(self, artifact: Artifact, env: Environment) -> Iterator[Executable]:
        """Open a session on the artifact.

        Raises:
            Unavailable: this ORT or this machine lacks the provider asked for.
        """
        values = settings(self, env)
        providers = session.providers_of(values, env.device)
        if _OPTIMISED in artifact.files:
            yield OrtExecutable(artifact.folder / _OPTIMISED, "0", values, providers)
        else:
            yield OrtExecutable(artifact.folder / _SOURCE, str(values["level"]), values, providers, _names(values))


def _names(values: Mapping[str, Value | None]) -> Sequence[str]:
    names = values["disabled_optimizers"]
    return names if isinstance(names, tuple) else ()


def _converted(
    model: Model, values: Mapping[str, Value | None], batches: Sequence[Tensors], disabled: Sequence[str]
) -> onnx.ModelProto:
    """The model in the precision asked for."""
    if values["precision"] == "float16":
        return convert.to_float16(model.proto())
    if values["precision"] == "model":
        return model.proto()
    with TemporaryDirectory() as folder:
        if values["quantise"] == "dynamic":
            return convert.quantise_dynamic(model.proto(), disabled, Path(folder))
        names = [spec.name for spec in model.inputs]
        return convert.quantise_static(model.proto(), names, batches, disabled, Path(folder))


def _optimise(
    model: Model, values: Mapping[str, Value | None], batches: Sequence[Tensors], disabled: Sequence[str], file: Path
) -> None:
    with TemporaryDirectory() as folder:
        source = model.path
        if values["precision"] != "model":
            source = Path(folder) / _SOURCE
            onnx.save_model(_converted(model, values, batches, disabled), source)
        enter(Stage.COMPILE)
        session.optimise(source, file, str(values["level"]), disabled)


def _check_effect(
    model: Model, values: Mapping[str, Value | None], batches: Sequence[Tensors], disabled: Sequence[str], workdir: Path
) -> None:
    """ORT lists no names and ignores those it does not know, so what the option does is seen by leaving it out.

    A name that stands nowhere in ORT's library is refused if it changes nothing (some names are put together when
    ORT runs); one that stands there may find nothing to do in this model, which the log says.
    """
    unknown = session.not_in_library(disabled)
    file = workdir / "without.onnx"
    _optimise(model, values, batches, [name for name in disabled if unknown and name not in unknown], file)
    same = file.read_bytes() == (workdir / _OPTIMISED).read_bytes()
    file.unlink()
    if same and unknown:
        raise Unsupported(
            f"disabled_optimizers: {', '.join(unknown)} changes nothing, and ONNX Runtime {session.ort_version()} "
            "holds no such name; correct or drop it"
        )
    if same:
        _log.warning("disabled_optimizers=%s changes nothing: the graph is the same without", "+".join(disabled))
