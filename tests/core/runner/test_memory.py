from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deltann.errors import UsageError
from deltann.runner.memory import machine_memory, memory_of, parse_memory


@pytest.mark.parametrize(
    ("text", "size"), [("4GiB", 4 * 2**30), ("500MB", 500 * 10**6), ("1.5 gb", 1_500_000_000), ("10kib", 10240)]
)
def test_amounts(text, size):
    assert parse_memory(text) == size


def test_shares_are_of_the_machine():
    assert parse_memory("50%") == machine_memory() // 2
    assert parse_memory("100%") == machine_memory() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize("text", ["", "4", "0GiB", "-1GiB", "101%", "0%", "much", "4 bytes", "nan%", "inf%"])
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(UsageError, match=r"--memory-limit .*: write a share of this machine's memory such as 80%"):
        parse_memory(text)


@pytest.mark.parametrize("listed", [True, False])
def test_children_count(listed, monkeypatch):
    """What a compiler that the worker started takes is the worker's, whether or not the kernel lists its children."""
    if not listed:
        monkeypatch.setattr(Path, "is_file", lambda _: False)
    inner = "x = bytearray(200_000_000); print(flush=True); input()"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    with subprocess.Popen([sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert 200_000_000 < memory_of(process.pid) < 400_000_000
        process.communicate(b"\n")
    assert memory_of(process.pid) == 0
