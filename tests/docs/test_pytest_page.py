"""`docs/pytest.md`, followed to the letter: its files written, its commands given, their output compared."""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from deltann.pytest_plugin import plugin

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "pytest.md"
NEEDED = ("onnxruntime", "matplotlib")


def _pages():
    """The module that reads pages, which is a test of another one."""
    spec = importlib.util.spec_from_file_location("pages_that_are_followed", HERE / "test_write_a_backend.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


PAGES = _pages()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The page's files, and what its commands leave behind."""
    folder = tmp_path_factory.mktemp("project")
    for name, text in PAGES.files(PAGE.read_text()).items():
        (folder / name).write_text(text)
    return folder


def test_the_page_is_followed(folder):
    for name in NEEDED:
        if find_spec(name) is None:
            pytest.skip(f"the page shows what {name} does: pip install 'deltann[html,ort]'")
    given = PAGES.commands(PAGE.read_text())
    assert len(given) == 6
    left_out = ("PYTHONPATH", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST", "DELTANN_BACKENDS", "DELTANN_EVIDENCE")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**kept, "PATH": path, "COLUMNS": "100", "PYTHONIOENCODING": "utf-8", "DELTANN_EVIDENCE": "none"}
    environment["DELTANN_CACHE"] = str(folder / "cache")
    for command in given:
        done = PAGES._give(command, folder, environment)
        assert done.returncode == 0, f"$ {command.line}\n{done.stdout}"
        assert command.matches(done.stdout), f"$ {command.line}\n{done.stdout}\n--- the page says\n{command.printed}"


def test_the_page_names_every_option():
    class Group:
        """As much of pytest's parser as the plugin asks for."""

        def __init__(self):
            self.options = []

        def getgroup(self, *_):
            return self

        def addoption(self, name, **_):
            self.options.append(name)

    group = Group()
    plugin.pytest_addoption(group)
    assert len(group.options) == 3
    for option in group.options:
        assert f"| `{option}" in PAGE.read_text()
