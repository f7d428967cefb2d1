"""What a wheel holds: the core, the adapters, the presets; no tests."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deltann.preprocess import preset_names
from deltann.report.schema import VERSIONS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return zipfile.ZipFile(wheel).namelist()


def test_packages_are_at_the_top(names: list[str]) -> None:
    top = {name.partition("/")[0] for name in names}
    assert {"deltann", "deltann_reference", "deltann_ort", "deltann_torch", "deltann_tvm"} <= top
    assert not top & {"tests", "backends", "experiments", "benchmarks", "docs"}


def test_presets_and_type_markers_are_in(names: list[str]) -> None:
    assert {f"deltann/preprocess/presets/{preset}.toml" for preset in preset_names()} <= set(names)
    assert "deltann/py.typed" in names


def test_published_schemas_are_in(names: list[str]) -> None:
    wanted = {f"deltann/report/schemas/{kind}-{version}.schema.json" for kind, version in VERSIONS.items()}
    assert wanted <= set(names)
