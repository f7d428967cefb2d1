"""The machine and the checkout that a run is made on."""

from __future__ import annotations

import functools
import math
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

UNKNOWN_CLASS = "unknown"
"""The class of a host that an earlier deltann described, which named none."""
_LEVELS = {
    "amx_bf16": "amx",
    "avx512_bf16": "avx512-bf16",
    "avx512_vnni": "avx512-vnni",
    "avx512f": "avx512",
    "avx_vnni": "avx2-vnni",
    "avx2": "avx2",
    "avx": "avx",
    "sse4_2": "sse4.2",
    "sve": "sve",
    "i8mm": "i8mm",
    "asimddp": "dotprod",
    "asimd": "neon",
}
"""By the system's flag what engines choose code and arithmetic by, the first that is there: with bfloat16 units some
compute in bfloat16 unasked, and without integer dot products int8 sums saturate.
"""
_CGROUPS = Path("/sys/fs/cgroup")
_QUOTAS = (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"))
"""Microseconds of processor time, and in how many: of version 2, and of version 1, where -1 is no limit."""


def host() -> dict[str, Any]:
    """Name, platform, Python, processor, number of cores that this process may use, class and accelerators."""
    return {
        "node": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cpu": cpu_facts().get("model name") or platform.processor() or platform.machine(),
        "cores": cores(),
        "class": host_class(),
        "accelerators": list(accelerators()),
    }


def host_class() -> str:
    """What decides numerics and ratios of times: system, machine, instruction set and cores; never the host's name.

    Such as `linux x86_64 avx2, 4 cores`. The instruction set is left out where the system does not tell.
    """
    facts = cpu_facts()
    flags = set((facts.get("flags") or facts.get("Features") or "").split())
    level = next((name for flag, name in _LEVELS.items() if flag in flags), "")
    words = " ".join(filter(None, (platform.system().lower(), platform.machine().lower(), level)))
    count = cores()
    return f"{words}, {count} core{'' if count == 1 else 's'}"


def cores() -> int:
    """How many processors this process may use at once: those it may run on, and no more than its share of their time.

    The share is a container's quota, rounded up, where control groups set one.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def _quota() -> float | None:
    """Processors' worth of time that the control group of this process may use; None where that is not limited."""
    for names in _QUOTAS:
        try:
            words = " ".join((_CGROUPS / name).read_text() for name in names).split()
            quota, period = (int(word) for word in words)
        except (OSError, ValueError):  # no such file, or `max`: no limit
            continue
        if quota > 0 and period > 0:
            return quota / period
    return None


def class_of(described: Mapping[str, Any]) -> str:
    """The class in what `host` said of a host, perhaps long ago and elsewhere."""
    found = described.get("class")
    return found if found and isinstance(found, str) else UNKNOWN_CLASS


def accelerators_of(described: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the accelerators in it; empty where there are none, or it does not say."""
    found = described.get("accelerators")
    return tuple(name for name in found if isinstance(name, str)) if isinstance(found, list) else ()


@functools.cache
def accelerators() -> tuple[str, ...]:
    """The names of the NVIDIA GPUs that the driver sees; empty where there is none, or none that can be asked."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(filter(None, map(str.strip, answer.stdout.splitlines()))) if answer.returncode == 0 else ()


def cpu_facts() -> dict[str, str]:
    """`/proc/cpuinfo` of one processor, such as `model name` and `flags`; empty where the system has no such file."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {}
    return {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines if ":" in line}


def git_revision() -> str | None:
    """The revision of the checkout one stands in, `+` where it has changes; None outside a checkout."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
