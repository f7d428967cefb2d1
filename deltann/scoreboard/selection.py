"""Which of the cases a scoreboard is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from deltann.errors import UsageError
from deltann.scoreboard.cases import Collected


@dataclass(frozen=True)
class Selection:
    """Cases whose name matches a pattern of `globs` and whose operator is one of `operators`; empty: all.

    `sample`: so many of them, spread evenly; the same ones each time.
    """

    globs: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    sample: int | None = None

    def __post_init__(self) -> None:
        if self.sample is not None and self.sample < 1:
            raise UsageError(f"--sample {self.sample}: give a whole number of at least 1")

    def of(self, cases: Sequence[Collected]) -> list[Collected]:
        """The chosen ones, in their order.

        Raises:
            UsageError: an operator or a pattern that fits nothing, or nothing is left.
        """
        known = {one.case.operator for one in cases} - {""}
        for name in self.operators:
            if name not in known:
                near = [other for other in sorted(known) if other.lower() == name.lower()]
                raise UsageError(f"--operator {name}: onnx tests no such operator; {_hint(near, sorted(known))}")
        for pattern in self.globs:
            if not any(fnmatchcase(one.case.name, pattern) for one in cases):
                raise UsageError(f"--cases {pattern}: no case of that name; write a pattern such as 'test_relu*'")
        chosen = [one for one in cases if self._wants(one)]
        if not chosen:
            raise UsageError("no case fits both --cases and --operator: leave one of them out")
        if self.sample is None or self.sample >= len(chosen):
            return chosen
        return [chosen[number * len(chosen) // self.sample] for number in range(self.sample)]

    def _wants(self, one: Collected) -> bool:
        fits = not self.globs or any(fnmatchcase(one.case.name, pattern) for pattern in self.globs)
        return fits and (not self.operators or one.case.operator in self.operators)

    def to_json(self) -> dict[str, Any]:
        """Plain data, equal for equal selections."""
        return {**asdict(self), "globs": sorted(self.globs), "operators": sorted(self.operators)}


def _hint(near: list[str], known: list[str]) -> str:
    if near:
        return f"did you mean {near[0]}?"
    return f"some of those it tests: {', '.join(known[:: -(-len(known) // 8)])}"
