"""The contract of a backend, and the tables it publishes.

An adapter is one small package whose module imports no framework at its top level: the class below is read by
`deltann backends` and by the parent of a comparison, while `lower` and `load` run in a worker process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from deltann.artifact import Artifact
from deltann.environment import Environment
from deltann.errors import UsageError
from deltann.model import Model
from deltann.outcome import Stage

Tensors = Mapping[str, npt.NDArray[np.generic]]
Value = str | int | tuple[str, ...]


@dataclass(frozen=True)
class Option:
    """One option of an adapter.

    `numerics`: changing it may change outputs (so a cause to try for a disagreement). `at_load`: it acts when the
    artifact is loaded and not when it is made, so it may matter where artifacts are identical.
    """

    help: str
    default: str | None = None
    kind: Literal["text", "count", "list"] = "text"
    choices: tuple[str, ...] = ()
    numerics: bool = False
    at_load: bool = False

    def read(self, spec: str, key: str, text: str) -> Value:
        """The typed value of `text`: a str, an int of at least 1 (`count`), or a tuple (`list`, joined with `+`).

        Raises:
            UsageError: the text is none of what this option takes.
        """
        items = tuple(text.split("+")) if self.kind == "list" else (text,)
        for item in items:
            if self.choices and item not in self.choices:
                raise UsageError(f"'{spec}': {key}={item} is unknown; {key} takes {', '.join(self.choices)}")
        if self.kind == "count":
            if not text.isdecimal() or int(text) < 1:
                raise UsageError(f"'{spec}': {key}={text} is not a whole number of at least 1")
            return int(text)
        return items if self.kind == "list" else text


@dataclass(frozen=True)
class Variant:
    """A short name for some options: `ort-O1` stands for `ort` with `level=1`."""

    options: Mapping[str, str]
    help: str


class Executable(Protocol):
    """A loaded model."""

    def run(self, inputs: Tensors) -> Tensors:
        """Run once; arrays by the model's own input and output names. Returns when the outputs are complete."""
        ...


@runtime_checkable
class Telling(Protocol):
    """An executable that knows what its engine really does, asked for or not; `Executable`s may be one."""

    def actual(self) -> Mapping[str, str]:
        """What is true of this execution, asked after the first run: the keys of `ACTUAL`, as far as known."""
        ...


ACTUAL = {
    "precision": "the type most of the arithmetic is done in: float32, bfloat16, int8, …",
    "threads": "how many threads compute",
    "device": "where: the processor or accelerator as the engine names it",
    "ignored": "options asked for that the engine did not follow, and why",
    "note": "anything else that the engine did without being asked",
}


class Backend(Protocol):
    """An adapter. Raise freely: `Unsupported` and `Unavailable` by name, all else is recorded as a finding."""

    name: ClassVar[str]
    summary: ClassVar[str]
    install: ClassVar[str]
    """The pip requirement that brings the framework, such as `deltann[ort]`."""
    distribution: ClassVar[str]
    """The PyPI project that `@VERSION` pins."""
    variants: ClassVar[Mapping[str, Variant]]
    options: ClassVar[Mapping[str, Option]]

    def version(self) -> str:
        """The framework's version, read without importing it.

        Raises:
            importlib.metadata.PackageNotFoundError: the framework is not installed.
        """
        ...

    def devices(self) -> Sequence[str]:
        """The devices this adapter can address, the default first; whether one is there shows when loading."""
        ...

    def unsupported(self, model: Model, env: Environment) -> str | None:
        """Why this model cannot be lowered in this environment, without compiling; None if it can. Never raises."""
        ...

    def lower(self, model: Model, env: Environment, workdir: Path) -> Artifact:
        """Lower `model` into files in `workdir`; calls `enter(Stage.COMPILE)` where conversion ends."""
        ...

    def load(self, artifact: Artifact, env: Environment) -> AbstractContextManager[Executable]:
        """Make the artifact runnable."""
        ...


@runtime_checkable
class Calibrated(Protocol):
    """A backend some of whose environments are quantised after samples of the run's own inputs.

    For those, plain `lower` raises Unsupported.
    """

    def calibration_samples(self, env: Environment) -> int:
        """On how many of the first samples `env` is calibrated; 0 where it needs none."""
        ...

    def lower_calibrated(self, model: Model, env: Environment, workdir: Path, batches: Sequence[Tensors]) -> Artifact:
        """`lower`, with the samples: whole batches as `Executable.run` takes them, read from disk when asked for."""
        ...


def settings(backend: Backend, env: Environment) -> dict[str, Value | None]:
    """Every option's value in this environment: defaults, then variants, then the spec's own options.

    Raises:
        UsageError: an unknown variant, option, value or device (the message lists what exists), or two variants
            that set the same option.
    """
    spec = str(env)
    values = {key: option.default for key, option in backend.options.items()}
    set_by: dict[str, str] = {}
    for variant in env.variants:
        if variant not in backend.variants:
            known = ", ".join(f"{backend.name}-{name}" for name in backend.variants) or "none"
            raise UsageError(f"'{spec}': {backend.name} has no variant '{variant}'; its variants: {known}")
        for key, value in backend.variants[variant].options.items():
            if key in set_by:
                raise UsageError(f"'{spec}': {set_by[key]} and {variant} exclude each other: name one")
            set_by[key] = variant
            values[key] = value
    for key, value in env.options:
        if key not in backend.options:
            known = ", ".join(backend.options) or "none"
            raise UsageError(f"'{spec}': {backend.name} has no option '{key}'; its options: {known}")
        values[key] = value
    if env.device is not None and env.device not in backend.devices():
        raise UsageError(
            f"'{spec}': {backend.name} has no device '{env.device}'; its devices: {', '.join(backend.devices())}"
        )
    return {k: None if v is None else backend.options[k].read(spec, k, v) for k, v in values.items()}


@runtime_checkable
class LowersWith(Protocol):
    """A backend whose lowering depends on more than its own framework."""

    lowers_with: ClassVar[Sequence[str]]
    """Other backends by their names, and PyPI projects: another version of one makes another artifact."""


@runtime_checkable
class Importing(Protocol):
    """A backend whose framework takes long to import."""

    def import_framework(self, env: Environment) -> None:
        """Import it as `env` asks. Called, or not, before the model is read; raises as the calls after it would."""
        ...


@runtime_checkable
class Reads(Protocol):
    """A backend that reads other files than ONNX."""

    formats: ClassVar[Sequence[str]]
    """The values of `Model.format` that it takes."""


def formats(backend: Backend) -> Sequence[str]:
    """The formats of models that `backend` reads."""
    return backend.formats if isinstance(backend, Reads) else ("onnx",)


def calibration_samples(backend: Backend, env: Environment) -> int:
    """On how many samples `env` is calibrated; 0 for environments and backends that need none."""
    return backend.calibration_samples(env) if isinstance(backend, Calibrated) else 0


@dataclass
class _Progress:
    listener: Callable[[Stage], None] = field(default=lambda _stage: None)


_progress = _Progress()


def enter(stage: Stage) -> None:
    """Tell whoever listens that `stage` begins, so that even a crash names it. Adapters call it inside `lower`."""
    _progress.listener(stage)


def listen(listener: Callable[[Stage], None]) -> None:
    """Have `listener` called with each stage that this process enters from now on."""
    _progress.listener = listener
