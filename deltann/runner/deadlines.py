"""How long each stage may take."""

from __future__ import annotations

from collections.abc import Sequence

from deltann.errors import UsageError
from deltann.outcome import Stage

DEFAULT_S = 600.0
_STAGES = (Stage.CONVERT, Stage.COMPILE, Stage.LOAD, Stage.RUN)


def parse_deadlines(texts: Sequence[str]) -> dict[Stage, float]:
    """Seconds by stage, from texts such as `120` (all stages) and `COMPILE=1200` (one).

    Raises:
        UsageError: an unknown stage, or not a number above 0.
    """
    general = DEFAULT_S
    special: dict[Stage, float] = {}
    for text in texts:
        name, separator, number = text.rpartition("=")
        try:
            seconds = float(number)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < float("inf") or (separator and name.upper() not in _STAGES):
            stages = ", ".join(_STAGES)
            raise UsageError(f"--timeout {text}: write SECONDS, or STAGE=SECONDS with a stage of {stages}")
        if separator:
            special[Stage(name.upper())] = seconds
        else:
            general = seconds
    return {stage: special.get(stage, general) for stage in Stage}
