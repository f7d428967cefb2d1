"""Which evidence a comparison is to gather, and how much of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from deltann.errors import UsageError

VARIABLE = "DELTANN_EVIDENCE"
"""The environment variable that stands in for `--evidence` where that is not given."""


class Kind(StrEnum):
    """ARBITER: the graph in float64. NOISE: each environment again. POWER: sabotaged copies of the model."""

    ARBITER = "arbiter"
    NOISE = "noise"
    POWER = "power"


@dataclass(frozen=True)
class Request:
    """`kinds`, on `samples` samples each (the arbiter's beside every flipped one); `copies` of the model spoilt."""

    kinds: tuple[Kind, ...] = tuple(Kind)
    samples: int = 16
    copies: int = 12

    def wants(self, kind: Kind) -> bool:
        """Whether it was asked for."""
        return kind in self.kinds

    def chosen(self, samples: int) -> npt.NDArray[np.int64]:
        """The samples chosen before any output is seen, of so many: spread evenly, since inputs may come sorted."""
        return np.unique(np.linspace(0, samples - 1, min(self.samples, samples)).astype(np.int64))

    def to_json(self) -> dict[str, Any]:
        """Plain data for `run.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Request:
        """The opposite of `to_json`; a run made before there was evidence has none.

        Raises:
            ValueError, TypeError, KeyError: `data` holds something else.
        """
        if data is None:
            return cls(())
        return cls(tuple(Kind(kind) for kind in data["kinds"]), int(data["samples"]), int(data["copies"]))


def parse_evidence(texts: str | Sequence[str] | None, samples: int | None = None) -> Request:
    """Read `arbiter,noise,power`, `none` or `all`; None stands for what `DELTANN_EVIDENCE` says, else `all`.

    Raises:
        UsageError: no such kind, or fewer than 2 samples.
    """
    said_by = "--evidence" if texts is not None else VARIABLE
    if texts is None:
        texts = os.environ.get(VARIABLE) or "all"
    names = texts.split(",") if isinstance(texts, str) else list(texts)
    known = [kind.value for kind in Kind]
    if names in (["none"], []):
        names = []
    elif names == ["all"]:
        names = known
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"{said_by} {unknown[0]}: write {', '.join(known)} with commas between, or all, or none")
    count = Request.samples if samples is None else samples
    if count < 2:
        raise UsageError(f"--evidence-samples {count}: give at least 2, or --evidence none")
    return Request(tuple(kind for kind in Kind if kind.value in names), count)
