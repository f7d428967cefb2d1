from __future__ import annotations

import os
import platform
from functools import partial
from pathlib import Path

import pytest

from deltann.host import UNKNOWN_CLASS, accelerators, class_of, cpu_facts, host, host_class


def test_the_processor_is_named_and_counted() -> None:
    told = host()
    assert told["cpu"]
    assert told["cores"] >= 1
    if name := cpu_facts().get("model name"):
        assert told["cpu"] == name


def flagged(monkeypatch: pytest.MonkeyPatch, system: str, machine: str, cores: int, **facts: str) -> str:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
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
