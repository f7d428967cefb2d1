"""How one environment did in one case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from deltann.outcome import Outcome, Status, Symptom


class Result(StrEnum):
    """The columns of the table."""

    PASSED = "passed"
    WRONG = "wrong answer"
    UNSUPPORTED = "unsupported"
    CRASHED = "crashed"
    TIMED_OUT = "timed out"
    ERROR = "error"
    UNTESTED = "not tested"


FINDINGS = (Result.WRONG, Result.CRASHED, Result.TIMED_OUT, Result.ERROR)
"""What an engine is not to do: kept with all that repeats it."""

_OF_SYMPTOM = {
    Symptom.CRASH: Result.CRASHED,
    Symptom.OUT_OF_MEMORY: Result.CRASHED,
    Symptom.TIMEOUT: Result.TIMED_OUT,
    Symptom.MISMATCH: Result.WRONG,
}
_OF_STATUS = {
    Status.OK: Result.PASSED,
    Status.UNSUPPORTED: Result.UNSUPPORTED,
    # Nobody was asked: the device or the library is not there.
    Status.UNAVAILABLE: Result.UNTESTED,
}


@dataclass(frozen=True)
class Row:
    """`reason` is one line, `detail` the whole text; `actual` is what the engine told of itself (`backend.ACTUAL`)."""

    case: str
    result: Result
    stage: str = ""
    reason: str = ""
    detail: str = ""
    actual: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, case: str, outcome: Outcome, actual: Mapping[str, str]) -> Row:
        """The row that an outcome makes; an exception that refuses nothing is an error."""
        if outcome.symptom is not None:
            result = _OF_SYMPTOM.get(outcome.symptom, Result.ERROR)
        else:
            result = _OF_STATUS.get(outcome.status, Result.ERROR)
        return cls(case, result, outcome.stage or "", outcome.reason, outcome.detail, actual)

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Row:
        """The opposite of `to_json`."""
        return cls(**{**data, "result": Result(data["result"])})
