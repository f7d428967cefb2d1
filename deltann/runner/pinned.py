"""The interpreter an environment runs under: this one, or that of a virtual environment with the version it pins."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import requires, version
from pathlib import Path

import deltann
from deltann import registry
from deltann.backend import LowersWith
from deltann.environment import Environment
from deltann.errors import Unavailable, one_line


@dataclass(frozen=True)
class Interpreter:
    """`command` starts it; `variables` are what its process needs to find deltann and the adapter."""

    command: list[str]
    variables: Mapping[str, str] = field(default_factory=dict)


def interpreter(environment: Environment, cache: Path) -> Interpreter:
    """This interpreter, or that of `ort@1.20.1`: made by uv on first use, kept in the cache.

    Raises:
        Unavailable: uv is missing, or it cannot install that version; the message has uv's own reason.
    """
    if environment.version is None:
        return Interpreter([sys.executable])
    backend = registry.get(environment.backend)
    requirement = f"{backend.distribution}=={environment.version}"
    folder = cache / "versions" / f"{requirement}-py{sys.version_info.major}.{sys.version_info.minor}"
    if not (folder / ".ready").is_file():
        _build(folder, [requirement, *_beside(environment.backend, backend.distribution)])
    sources = folder / "sources"
    others = backend.lowers_with if isinstance(backend, LowersWith) else ()
    adapters = [backend, *(registry.get(name) for name in others if name in registry.names())]
    _link(sources, [deltann.__name__, *(type(adapter).__module__.partition(".")[0] for adapter in adapters)])
    entry = f"{type(backend).__module__}:{type(backend).__qualname__}"
    # Only these packages come from here: everything else must be the pinned environment's own.
    variables = {"PYTHONPATH": str(sources), registry.EXTRA: f"{environment.backend}={entry}"}
    return Interpreter([str(folder / "bin" / "python")], variables)


def _beside(extra: str, distribution: str) -> list[str]:
    """What else deltann's extra of that name asks for, the pinned project itself apart."""
    lines = [line.partition(";") for line in requires("deltann") or () if re.search(f"extra == .{extra}.$", line)]
    return [line.strip() for line, _, _ in lines if not re.match(rf"{re.escape(distribution)}(?![\w.-])", line)]


def _build(folder: Path, requirements: list[str]) -> None:
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if uv is None:
        raise Unavailable(f"{requirements[0]} needs uv to make its own environment: pip install uv")
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), *requirements, "numpy",
         f"onnx=={version('onnx')}"],
    ):  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = one_line(done.stderr.replace("\n", " "), 200)
            raise Unavailable(f"uv could not make an environment with {requirements[0]}: {reason}")
    (folder / ".ready").touch()


def _link(sources: Path, packages: list[str]) -> None:
    sources.mkdir(exist_ok=True)
    for name in packages:
        file = Path(inspect.getfile(sys.modules[name]))
        target = file.parent if file.name == "__init__.py" else file  # an adapter may be one file
        link = sources / target.name
        if not link.is_symlink() or link.readlink() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)
