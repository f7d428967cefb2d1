"""`docs/write-a-backend.md`, followed to the letter: its files written, its commands given, their output compared.

Only what needs a network is replaced: the new environment sees this one's packages, and installs this checkout.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "write-a-backend.md"
PACKAGE = ROOT / "tests" / "plugin_package"
FILES = ("pyproject.toml", "deltann_numpy_example.py", "test_conformance.py")
_BLOCK = re.compile(r'^```(?P<kind>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Command:
    """A command of the page, and what the page says it prints; `…` stands for anything, alone for any lines."""

    line: str
    printed: str

    def matches(self, text: str) -> bool:
        return re.fullmatch(_pattern(_lines(self.printed)), "".join(f"{line}\n" for line in _lines(text))) is not None


def commands(page: str) -> list[Command]:
    """Those of the page's `console` blocks, in order."""
    texts = [block["text"] for block in _BLOCK.finditer(page) if block["kind"] == "console"]
    parts = [part for text in texts for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]]
    return [Command(*part.split("\n", 1)) for part in parts]


def files(page: str) -> dict[str, str]:
    """The files that the page shows, their pieces put together."""
    found: dict[str, list[str]] = {}
    for block in _BLOCK.finditer(page):
        if block["title"]:
            found.setdefault(block["title"], []).append(block["text"])
    return {title: "\n\n".join(texts) for title, texts in found.items()}


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


def _pattern(lines: list[str]) -> str:
    patterns = (r"(?:.*\n)*" if line == "…" else re.escape(line).replace("…", ".*") + r"\n" for line in lines)
    return "".join(patterns)


@pytest.mark.parametrize("name", FILES)
def test_the_page_shows_the_package(name: str) -> None:
    shown = files(PAGE.read_text())
    assert shown.keys() == set(FILES)
    # Pieces of a file come without the empty lines between them.
    assert list(filter(None, _lines(shown[name]))) == list(filter(None, _lines((PACKAGE / name).read_text())))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A fresh virtual environment with deltann in it, as the variables of a shell that has activated it."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("fresh")
    venv = folder / ".venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    base = {"base": str(venv), "platbase": str(venv)}
    here, there = sysconfig.get_path("purelib"), Path(sysconfig.get_path("purelib", "venv", base))
    (there / "parent.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    pip = venv / "bin" / "pip"
    pip.unlink()
    offline = "--no-deps --no-build-isolation --no-index --disable-pip-version-check"
    pip.write_text(f'#!/bin/sh\nexec "{venv}/bin/python" -m pip "$@" {offline}\n')
    pip.chmod(0o755)
    subprocess.run([str(pip), "install", "--quiet", str(ROOT)], check=True)
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DELTANN_BACKENDS")}
    path = os.pathsep.join([str(pip.parent), os.environ["PATH"]])
    cache = {"DELTANN_CACHE": str(folder / "cache")}
    return {**kept, **cache, "PATH": path, "VIRTUAL_ENV": str(venv), "COLUMNS": "100", "PYTHONIOENCODING": "utf-8"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files, and what its commands leave behind."""
    folder = tmp_path_factory.mktemp("deltann-numpy-example")
    for name, text in files(PAGE.read_text()).items():
        (folder / name).write_text(text)
    return folder


def _give(command: Command, folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command.line],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )


def test_the_page_is_followed(environment: Mapping[str, str], folder: Path) -> None:
    given = commands(PAGE.read_text())
    assert len(given) > 10
    for command in given:
        done = _give(command, folder, environment)
        assert done.returncode == 0, f"$ {command.line}\n{done.stdout}"
        assert command.matches(done.stdout), f"$ {command.line}\n{done.stdout}\n--- the page says\n{command.printed}"


def test_a_page_that_says_something_else_is_noticed() -> None:
    command = Command("true", "first …\n…\nlast\n")
    assert command.matches("first one \nanother\nlast\n")
    assert command.matches("first one\nlast\n")
    assert not command.matches("first one\nlast\nand more\n")
    assert not command.matches("another\nfirst one\nlast\n")
    assert not command.matches("")
    assert not Command("true", "").matches("something\n")
