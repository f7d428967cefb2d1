"""What each kind of source promises to the one that writes: rows in order, and what decides their bytes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Rows = Generator[tuple[str, Array | str], None, None]
"""Of each sample its name and its row; a text in the row's place says why this sample gives none."""


@dataclass(frozen=True)
class Plan:
    """`rows` gives, by input name, at most `samples` rows in order; `identity` (plain data) decides their bytes."""

    identity: Any
    samples: int
    rows: Mapping[str, Callable[[], Rows]]
    pipeline: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
