"""How far apart two elements may be: a user's numbers, or a default for the dtype and the scale of the output."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deltann.errors import UsageError

DEFAULTS: Mapping[str, float] = {"float64": 1e-9, "float32": 1e-3, "float16": 2e-2}
"""The default relative tolerance of a dtype, and its default absolute one as a share of the output's RMS.

A convention, not derived: sums in another order and fused operators leave deep float32 networks 1e-5 to 1e-4 of the
output's RMS apart, while a wrong operator moves them by percents; 1e-3 stands between. Half precision keeps 13 bits
less and gets 2e-2, float64 gets 1e-9. Integers and bools must be equal.
"""


@dataclass(frozen=True)
class Tolerance:
    """Elements agree where |a − b| <= atol + rtol·|b|, b being the reference; `source` says where the numbers are from.

    `source` is "default for DTYPE", "user", or "user rtol, default atol for DTYPE" (and the other way round).
    """

    rtol: float
    atol: float
    source: str = "user"

    @property
    def from_user(self) -> bool:
        """Whether the user set any part of it."""
        return self.source.startswith("user")


@dataclass(frozen=True)
class Tolerances:
    """What the user asked for, by output name; the key None holds for every output that has no entry of its own."""

    rtol: Mapping[str | None, float] = field(default_factory=dict)
    atol: Mapping[str | None, float] = field(default_factory=dict)

    def check(self, outputs: Iterable[str]) -> None:
        """Raise UsageError where a tolerance names none of `outputs`."""
        known = list(outputs)
        for option, values in (("--rtol", self.rtol), ("--atol", self.atol)):
            for name in values:
                if name is not None and name not in known:
                    raise UsageError(f"{option}: no output '{name}'; the outputs: {', '.join(known) or 'none'}")

    def of(self, name: str, a: np.dtype[Any], b: np.dtype[Any], scale: float) -> Tolerance:
        """The tolerance of one output, of dtype `a` on one side and `b` on the other (the coarser one counts).

        `scale` is the RMS of the reference's output, in its own unit: logits and probabilities differ in scale, so
        a default atol is a share of it. A user's atol is taken as it is.
        """
        dtype, share = _coarser(a, b)
        rtol = self.rtol.get(name, self.rtol.get(None))
        atol = self.atol.get(name, self.atol.get(None))
        if rtol is None and atol is None:
            source = f"default for {dtype}"
        elif rtol is None:
            source = f"user atol, default rtol for {dtype}"
        elif atol is None:
            source = f"user rtol, default atol for {dtype}"
        else:
            source = "user"
        return Tolerance(share if rtol is None else rtol, share * scale if atol is None else atol, source)


def parse_tolerances(rtol: Sequence[str], atol: Sequence[str]) -> Tolerances:
    """Read `1e-3` (every output) and `logits=1e-3` (one output; split at the last `=`, as names may hold one).

    Raises:
        UsageError: not a number, negative, NaN or infinite; or one output named twice.
    """
    return Tolerances(_parse("--rtol", rtol), _parse("--atol", atol))


def _parse(option: str, texts: Sequence[str]) -> dict[str | None, float]:
    values: dict[str | None, float] = {}
    for text in texts:
        name, separator, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not (0 <= value < math.inf) or (separator and not name):
            raise UsageError(f"{option} {text}: give a number of at least 0, as in {option} 1e-3 or {option} NAME=1e-3")
        key = name if separator else None
        if key in values:
            raise UsageError(f"{option} {text}: {'this output' if key else 'the general value'} is set twice; keep one")
        values[key] = value
    return values


def _coarser(a: np.dtype[Any], b: np.dtype[Any]) -> tuple[str, float]:
    """The less precise dtype of the two with its default; an integer beside a float counts as that float."""
    known = [(DEFAULTS.get(dtype.name, 0.0), dtype.name) for dtype in (a, b)]
    share, dtype = max(known)
    return dtype, share
