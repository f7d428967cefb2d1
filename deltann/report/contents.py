"""What a report is made of: a comparison, and what was found beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deltann.baseline.drift import Drift
    from deltann.result import Result
    from deltann.timing.against import Against
    from deltann.timing.stored import Timing


@dataclass(frozen=True)
class Contents:
    """A judged run; its times, where it was timed; those of another run beside them; and its drift from a baseline."""

    result: Result
    timing: Timing | None = None
    against: Against | None = None
    drift: Drift | None = None

    @property
    def exit_code(self) -> int:
        """Of the comparison and of the times what is worse (1, then 3, then 4); a baseline decides in their place."""
        codes = [self.result.exit_code, *([self.timing.exit_code] if self.timing else [])]
        own = next((code for code in (1, 3, 4) if code in codes), 0)
        return own if self.drift is None else self.drift.exit_code(own)


def with_times(result: Result, timing: Timing | None, against: Against | None = None) -> Contents:
    """A comparison and its times: what these lack is missing of the whole."""
    lost = timing.missing if timing is not None else ()
    return Contents(replace(result, missing=(*result.missing, *lost)), timing, against)


def load_contents(run: str | Path) -> Contents:
    """A stored run and its times, with what is missing of either in `Result.missing`.

    Raises:
        UsageError: not a run, or its `run.json` or criteria cannot be read.
    """
    from deltann.result import load
    from deltann.timing.stored import partial_timing

    result = load(run, partial=True)
    timing, lost = partial_timing(result.run, result)
    return Contents(replace(result, missing=(*result.missing, *lost)), timing)
