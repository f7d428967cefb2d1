"""What a user will accept; kept with the run, and changeable afterwards without running anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Criteria:
    """As written: `rtol` and `atol` `1e-3` or `logits=1e-3`, `max_disagreement` a rate (`0.5%`), `reference` a spec."""

    reference: str | None = None
    rtol: tuple[str, ...] = ()
    atol: tuple[str, ...] = ()
    max_disagreement: str | None = None

    @classmethod
    def of(
        cls,
        reference: str | None,
        rtol: float | str | Sequence[str],
        atol: float | str | Sequence[str],
        max_disagreement: float | str | None,
    ) -> Criteria:
        """From what a caller gives: numbers, or the command line's texts."""
        limit = None if max_disagreement is None else str(max_disagreement)
        return cls(reference, _texts(rtol), _texts(atol), limit)

    def to_json(self) -> dict[str, Any]:
        """Plain data for `run.json`."""
        return asdict(self)


def _texts(value: float | str | Sequence[str]) -> tuple[str, ...]:
    return (str(value),) if isinstance(value, (int, float, str)) else tuple(value)
