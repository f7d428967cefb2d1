"""What happened to a cell: status, the stage it had reached, and the symptom it showed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Whether a cell has outputs, and if not, why."""

    OK = "OK"
    FAILED = "FAILED"
    UNSUPPORTED = "UNSUPPORTED"
    UNAVAILABLE = "UNAVAILABLE"
    NOT_RUN = "NOT_RUN"


class Stage(StrEnum):
    """How far a cell came."""

    CONVERT = "CONVERT"
    COMPILE = "COMPILE"
    LOAD = "LOAD"
    RUN = "RUN"
    COMPARE = "COMPARE"


class Symptom(StrEnum):
    """How a failure showed itself."""

    EXCEPTION = "EXCEPTION"
    CRASH = "CRASH"
    TIMEOUT = "TIMEOUT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    MISMATCH = "MISMATCH"
    NONDETERMINISM = "NONDETERMINISM"
    SLOWDOWN = "SLOWDOWN"


@dataclass(frozen=True)
class Outcome:
    """`reason` is one line for a table; `detail` is the whole text (a traceback, the end of the worker's log)."""

    status: Status
    stage: Stage | None = None
    symptom: Symptom | None = None
    reason: str = ""
    detail: str = ""
