"""What a night found, a line of JSON a model and environment: read from the JSON reports, never from the screen."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Record:
    """One environment beside the reference, on one model.

    `night`: the date, UTC. `newest`: the row had pre-releases, where there were any: `none_newer` than the pinned
    versions otherwise. `rate`: the share of samples whose label differs. `slowdown`: time / time of the reference − 1,
    with its 95 % interval. `host`: class of the machine and its accelerators, and `accelerated` whether it has any;
    figures of two hosts are never put in one series. What is not known is None.
    """

    night: str
    row: str
    newest: bool
    model: str
    environment: str
    device: str
    status: str
    reason: str = ""
    version: str | None = None
    computed_on: str | None = None
    verdict: str | None = None
    samples: int | None = None
    disagreements: int | None = None
    max_abs: float | None = None
    slowdown: float | None = None
    slowdown_low: float | None = None
    slowdown_high: float | None = None
    host: str = ""
    accelerated: bool = False
    none_newer: bool = False

    @property
    def title(self) -> str:
        """The environment, and whether of pre-releases."""
        pre = "pre-releases: none newer" if self.none_newer else "pre-releases"
        return f"{self.environment} ({pre})" if self.newest else self.environment

    @property
    def standing(self) -> str:
        """One word or two: the verdict of a cell that ran where it should, else why there is none."""
        if self.status != "OK":
            return self.status
        if self.astray:
            return ("NOT ON " if self._on_cpu else "NOT KNOWN TO BE ON ") + self.device.upper()
        return self.verdict or "NOT_COMPARED"

    @property
    def astray(self) -> bool:
        """Whether it ran where another device than the CPU was asked for, and does not say that it computed there.

        An engine that keeps silent, or cannot tell which nodes went where, may have computed all on the CPU.
        """
        untold = not self.computed_on or "does not tell" in self.computed_on
        return self.status == "OK" and self.device != "cpu" and (untold or self._on_cpu)

    @property
    def _on_cpu(self) -> bool:
        return (self.computed_on or "").lower().startswith("cpu")

    @property
    def bad(self) -> bool:
        """Whether somebody has to look: it failed, differs, cannot tell, did not run, or perhaps ran elsewhere.

        A device that is absent is not bad; one that a machine with an accelerator does not give is.
        """
        if self.status == "UNAVAILABLE" and self.device != "cpu":
            return self.accelerated
        return self.standing not in ("AGREE", "UNAVAILABLE", "UNSUPPORTED")

    @property
    def rate(self) -> float | None:
        """Labels that differ / samples; None without labels."""
        return None if self.disagreements is None or not self.samples else self.disagreements / self.samples


def of_report(
    document: Mapping[str, Any],
    *,
    night: str,
    row: str,
    newest: bool,
    model: str,
    device: str,
    reference: str,
    none_newer: bool = False,
) -> Iterator[Record]:
    """The records in the JSON report of one comparison: each cell but the reference."""
    pairs = {_other(pair, reference): pair for pair in document["pairs"] if _other(pair, reference) is not None}
    timing = document.get("timing") or {"pairs": []}
    times = {_other(pair, reference): pair for pair in timing["pairs"] if _other(pair, reference) is not None}
    host = document["request"]["host"]
    accelerators = host.get("accelerators", [])
    machine = ", ".join([str(host.get("class") or "unknown"), *accelerators])
    for cell in document["cells"]:
        if cell["environment"] == reference:
            continue
        pair = pairs.get(cell["cell"], {})
        outputs = (pair.get("comparison") or {}).get("outputs", [])
        labels = [output["classification"] for output in outputs if output.get("classification")]
        numeric = [output["numeric"] for output in outputs if output.get("numeric")]
        time = times.get(cell["cell"], {}).get("estimate") or {}
        yield Record(
            night,
            row,
            newest,
            model,
            cell["environment"],
            device,
            cell["status"],
            cell["reason"],
            cell["version"],
            cell["actual"].get("device"),
            pair.get("verdict"),
            max((found["samples"] for found in labels), default=None),
            sum(found["disagreements"] for found in labels) if labels else None,
            max((found["max_abs"] for found in numeric if found["max_abs"] is not None), default=None),
            time.get("slowdown"),
            time.get("low"),
            time.get("high"),
            machine,
            bool(accelerators),
            none_newer,
        )


def _other(pair: Mapping[str, Any], reference: str) -> str | None:
    """The cell that a pair holds beside the reference; None where the reference is none of the two."""
    sides = [pair["candidate"], pair["reference"]]
    return str(next(side for side in sides if side != reference)) if reference in sides else None


def write(file: Path, records: Iterable[Record]) -> None:
    """A line a record."""
    file.write_text("".join(json.dumps(asdict(record)) + "\n" for record in records))


def read(file: Path) -> list[Record]:
    """The records of a file; none where there is no file.

    Raises:
        ValueError: a line is none; the message has its number.
    """
    found = []
    for number, line in enumerate(file.read_text().splitlines() if file.is_file() else [], 1):
        try:
            found.append(Record(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{file}:{number}: not a record: {error}") from error
    return found


def merged(old: Sequence[Record], new: Sequence[Record]) -> list[Record]:
    """`old` and `new` by date; what ran twice in a night counts as it ran last."""
    last = {(r.night, r.row, r.newest, r.model, r.environment, r.host): r for r in (*old, *new)}
    return sorted(last.values(), key=lambda r: (r.night, r.row, r.newest, r.model, r.environment))
