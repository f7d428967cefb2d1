"""The command, run in this process (quick) or in one of its own (exit codes, signals, pipes)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator, validate

from deltann.cli import BROKEN, main
from deltann.report.schema import VERSIONS, schema, schema_id
from deltann.testing.faulty import ENTRY
from deltann.testing.models import MODELS
from deltann.testing.registration import registered

HERE = Path(__file__).parent
COMMAND = [sys.executable, "-c", "from deltann.cli import main; main(prog_name='deltann')"]


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as strict JSON, which is what the published schema says."""

        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is no JSON")

        found = json.loads(self.out, parse_constant=refuse)
        told = [schema(kind) for kind in VERSIONS if schema_id(kind) == found.get("$schema")]
        validate(found, *told or [schema("scoreboard")], cls=Draft202012Validator)
        return found

    @property
    def error(self) -> str:
        """The one line of a usage error, without its `Error: `; nothing else may have been written to stderr."""
        assert self.code == 2, (self.code, self.out, self.err)
        assert "Traceback" not in self.out + self.err
        (line,) = self.err.splitlines()
        assert line.startswith("Error: ")
        return line.removeprefix("Error: ")


Cli = Callable[..., Done]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of all commands of this session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", autouse=True)
def adapters(cache: Path) -> Iterator[None]:
    """`faulty` and `recorder` are known here and in every process started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE)
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH")))))
        patch.setenv("DELTANN_CACHE", str(cache))
        patch.setenv("COLUMNS", "80")
        with registered(faulty=ENTRY, recorder="recorder:RecorderBackend"):
            yield


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny models, each as NAME.onnx."""
    folder = tmp_path_factory.mktemp("models")
    for name, make in MODELS.items():
        onnx.save_model(make().proto, folder / f"{name}.onnx")
    return folder


@pytest.fixture
def cli() -> Cli:
    """`cli("compare", "--model", …)` in this process."""

    def invoke(*args: str | Path) -> Done:
        result = CliRunner().invoke(main, [str(arg) for arg in args])
        assert result.exit_code != BROKEN, result.stderr
        return Done(result.exit_code, result.stdout, result.stderr)

    return invoke


def start(*args: str | Path, under: Sequence[str] = (), **settings: Any) -> subprocess.Popen[str]:
    """The command in a process group of its own; `under` is a command that runs it."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings}
    command = [*under, *COMMAND, *map(str, args)]
    return subprocess.Popen(command, text=True, start_new_session=True, preexec_fn=_heed_ctrl_c, **streams)


def _heed_ctrl_c() -> None:
    # Under a shell's `&` these tests inherit that SIGINT is ignored, and Python would leave it so.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def process() -> Cli:
    """`process("compare", "--model", …)` in a process of its own."""

    def invoke(*args: str | Path, **settings: Any) -> Done:
        started = start(*args, **settings)
        try:
            out, err = started.communicate(timeout=60)
        finally:
            if started.poll() is None:
                os.killpg(started.pid, signal.SIGKILL)
        return Done(started.returncode, out or "", err or "")

    return invoke


@pytest.fixture
def launch() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`launch("compare", …)` starts the command and does not wait; what is left of it is killed in the end."""
    started: list[subprocess.Popen[str]] = []

    def invoke(*args: str | Path, **settings: Any) -> subprocess.Popen[str]:
        started.append(start(*args, **settings))
        return started[-1]

    yield invoke
    for child in started:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
