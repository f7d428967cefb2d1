"""Environments of their own: each backend with nothing but its own extra, each row of the matrix, the site of a night.

`make test-backend BACKEND=ort`, `make matrix-row ROW=torch-cuda` and `make matrix-site` call these.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT / "experiments/05_matrix"))
import plan  # noqa: E402

nox.needs_version = ">=2024.10"
nox.options.envdir = "build/nox"
nox.options.default_venv_backend = "virtualenv"  # of pip, whose configuration says where CPU builds are
nox.options.sessions = ["backend"]
nox.options.error_on_missing_interpreters = True

PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
EXTRAS = PROJECT["project"]["optional-dependencies"]
BACKENDS = sorted(PROJECT["project"]["entry-points"]["deltann.backends"])
FOLDERS = {"tf": "tensorflow"}
"""Of tests/backends, where a backend's is not named after it."""
TOOLS = ("hypothesis", "jsonschema", "pytest", "pytest-xdist", "scipy")
"""What a backend's tests need, of the extra dev."""
CONSTRAINTS = ("--constraint", str(ROOT / "constraints.txt"))
RESULTS, STATE = Path("build/matrix/results"), Path("build/matrix/state")
ROWS = plan.read().rows


def tools() -> list[str]:
    """The requirements of `TOOLS`, as pyproject.toml states them."""
    return [line for line in EXTRAS["dev"] if re.match(r"[\w-]+", line)[0] in TOOLS]  # type: ignore[index]


@nox.session
@nox.parametrize("backend", [nox.param(name, id=name) for name in BACKENDS])
def backend(session: nox.Session, backend: str) -> None:
    """A backend's own tests and its part of the conformance suite, where no other framework is installed."""
    extra = f"[{backend}]" if backend in EXTRAS else ""
    session.install(*CONSTRAINTS, "--editable", f".{extra}", *tools())
    session.run("deltann", "doctor")
    session.run("pytest", f"tests/backends/{FOLDERS.get(backend, backend)}", *session.posargs)
    session.run("pytest", "tests/conformance/test_backends.py", "-m", backend, *session.posargs)


@nox.session
@nox.parametrize("row", [nox.param(row.name, id=row.name) for row in ROWS])
def matrix(session: nox.Session, row: str) -> None:
    """One row of the matrix, with the versions of constraints.txt."""
    _install(session, plan.read().row(row))
    _run(session, row)


@nox.session
@nox.parametrize("row", [nox.param(row.name, id=row.name) for row in ROWS if row.newest])
def newest(session: nox.Session, row: str) -> None:
    """One row of the matrix, with the newest pre-releases of its framework."""
    found = plan.read().row(row)
    _install(session, found)
    # IREE's is a page of links, the others are indexes.
    where = ["--find-links" if found.index.endswith(".html") else "--extra-index-url", found.index]
    session.install("--upgrade", "--pre", *(where if found.index else []), *found.newest)
    _run(session, row, "--newest")


@nox.session
def site(session: nox.Session) -> None:
    """What the rows found, as pages with trends over the nights."""
    session.install(*CONSTRAINTS, "jinja2", "ruptures")
    session.run(
        "python", "experiments/05_matrix/publish.py", "--results", str(RESULTS),
        "--history", str(STATE / "history.jsonl"), "--site", "build/matrix/site", *session.posargs,
    )  # fmt: skip


def _install(session: nox.Session, row: plan.Row) -> None:
    extras = ",".join(["html", *row.extras])
    session.install(*CONSTRAINTS, "--editable", f".[{extras}]", *row.packages)


def _run(session: nox.Session, row: str, *options: str) -> None:
    out = RESULTS / "-".join([row, *(option.lstrip("-") for option in options)])
    session.run(
        "python", "experiments/05_matrix/run.py", "--row", row, *options, "--out", str(out),
        "--baselines", str(STATE / "baselines"), *session.posargs,
    )  # fmt: skip
