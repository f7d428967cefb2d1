from __future__ import annotations

import os
import platform
from functools import partial
from pathlib import Path

import pytest

from deltann.host import UNKNOWN_CLASS, accelerators, class_of, cores, cpu_facts, host, host_class


def test_the_processor_is_named_and_counted() -> None:
    told = host()
    assert told["cpu"]
    assert told["cores"] >= 1
    if name := cpu_facts().get("model name"):
        assert told["cpu"] == name


def flagged(monkeypatch: pytest.MonkeyPatch, system: str, machine: str, cores: int, **facts: str) -> str:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr("deltann.host.cores", lambda: cores)
    monkeypatch.setattr("deltann.host.cpu_facts", lambda: facts)
    return host_class()


def test_the_class_is_what_decides_numerics_and_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert host()["class"] == host_class()
    monkeypatch.setattr(platform, "node", lambda: "a-name-of-its-own")
    assert "a-name" not in host_class()
    told = partial(flagged, monkeypatch)
    assert told("Linux", "x86_64", 4, flags="sse4_2 avx avx2 fma") == "linux x86_64 avx2, 4 cores"
    assert told("Linux", "x86_64", 4, flags="avx avx2 avx512f avx512_vnni") == "linux x86_64 avx512-vnni, 4 cores"
    assert told("Linux", "x86_64", 4, flags="avx2 avx512f avx512_bf16 amx_bf16") == "linux x86_64 amx, 4 cores"
    assert told("Linux", "aarch64", 8, Features="fp asimd asimddp sve") == "linux aarch64 sve, 8 cores"
    assert told("Darwin", "arm64", 1) == "darwin arm64, 1 core"


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A process that may run on 6 processors of 64; the folder in which its control groups limit their time."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(10, 16)), raising=False)
    monkeypatch.setattr("deltann.host._CGROUPS", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({}, 6),
        ({"cpu.max": "max 100000\n"}, 6),
        ({"cpu.max": "250000 100000\n"}, 3),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu.max": "800000 100000\n"}, 6),
        ({"cpu.max": "what is this"}, 6),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 6),
    ],
)
def test_cores_are_those_that_the_process_may_use(limits: Path, files: dict[str, str], count: int) -> None:
    for name, text in files.items():
        (limits / name).parent.mkdir(exist_ok=True)
        (limits / name).write_text(text)
    assert cores() == host()["cores"] == count
    assert host_class().endswith(f", {count} core" + "s" * (count > 1))


@pytest.mark.usefixtures("limits")
def test_where_no_system_call_tells_all_of_them_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores() == 64


def test_accelerators_are_what_the_driver_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for script, found in (("printf 'NVIDIA L4\\nNVIDIA L4\\n'", ("NVIDIA L4",) * 2), ("echo No devices; exit 6", ())):
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        accelerators.cache_clear()
        assert accelerators() == found
    tool.unlink()
    accelerators.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert accelerators() == ()
    accelerators.cache_clear()


def test_a_host_that_was_described_without_a_class_has_none() -> None:
    assert class_of({}) == class_of({"class": None}) == UNKNOWN_CLASS
    assert class_of(host()) == host_class()
