"""What a user will accept; kept with the run, and changeable afterwards without running anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy.typing as npt

from deltann.errors import UsageError
from deltann.tasks import Task, infer_task


@dataclass(frozen=True)
class Criteria:
    """As written: `rtol` and `atol` `1e-3` or `logits=1e-3`, `max_disagreement` a rate (`0.5%`), `reference` a spec.

    `tasks`: `tensor`, `classification` or `logits=classification`.
    """

    reference: str | None = None
    rtol: tuple[str, ...] = ()
    atol: tuple[str, ...] = ()
    max_disagreement: str | None = None
    tasks: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        reference: str | None,
        rtol: float | str | Sequence[str],
        atol: float | str | Sequence[str],
        max_disagreement: float | str | None,
        task: str | Sequence[str] = (),
    ) -> Criteria:
        """From what a caller gives: numbers, or the command line's texts."""
        limit = None if max_disagreement is None else str(max_disagreement)
        return cls(reference, _texts(rtol), _texts(atol), limit, _texts(task))

    def to_json(self) -> dict[str, Any]:
        """Plain data for `run.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Criteria:
        """The opposite of `to_json`.

        Raises:
            TypeError: `data` holds something else.
        """
        parts: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in data.items()}
        criteria = cls(**parts)
        for one in (criteria.reference, criteria.max_disagreement):
            if not isinstance(one, str | None):
                raise TypeError(f"{one!r} in the criteria is no text")
        for several in (criteria.rtol, criteria.atol, criteria.tasks):
            if not isinstance(several, tuple) or not all(isinstance(text, str) for text in several):
                raise TypeError(f"{several!r} in the criteria is no list of texts")
        return criteria


@dataclass(frozen=True)
class Tasks:
    """What the user says of outputs: `every` of all, `named` of one by its name."""

    every: Task | None
    named: Mapping[str, Task]

    def asked(self, name: str) -> Task | None:
        """What was said of the output; None where nothing was."""
        return self.named.get(name, self.every)

    def of(self, name: str, output: npt.NDArray[Any]) -> Task:
        """The output's task. Scores are known by their shape, so that only TENSOR can say otherwise."""
        return Task.TENSOR if self.asked(name) is Task.TENSOR else infer_task(output)

    def check(self, outputs: Sequence[str]) -> None:
        """Raise UsageError where a task is given for an output that is not among `outputs`."""
        if unknown := [name for name in self.named if name not in outputs]:
            raise UsageError(f"--task for '{unknown[0]}': no such output; the outputs: {', '.join(outputs)}")


def parse_tasks(texts: Sequence[str]) -> Tasks:
    """Read `tensor` (every output) and `boxes=tensor` (one output; split at the last `=`, as names may hold one).

    Raises:
        UsageError: no such task; or one output named twice.
    """
    found: dict[str, Task] = {}
    for text in texts:
        name, separator, task = text.rpartition("=")
        if task not in tuple(Task) or (separator and not name):
            raise UsageError(f"--task {text}: write [OUTPUT=]TASK; the tasks: {', '.join(Task)}")
        if name in found:
            raise UsageError(f"--task {text}: {'this output' if name else 'the general task'} is set twice; keep one")
        found[name] = Task(task)
    every = found.pop("", None)
    return Tasks(every, found)


def _texts(value: float | str | Sequence[str]) -> tuple[str, ...]:
    return (str(value),) if isinstance(value, (int, float, str)) else tuple(value)
