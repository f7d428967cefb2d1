"""The machine and the checkout that a run is made on."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any


def host() -> dict[str, Any]:
    """Name, platform, Python, processor and number of cores."""
    return {
        "node": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cpu": cpu_facts().get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
    }


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
