"""What the verdict rests on beside the outputs: float64, each environment again, and sabotaged copies of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltann.comparison.evidence import Arbitration
from deltann.comparison.noise import describe
from deltann.comparison.power import Power
from deltann.report.html.figures import Bound, bounds

if TYPE_CHECKING:
    from deltann.comparison.noise import OutputNoise
    from deltann.comparison.soundness import Soundness
    from deltann.result import Result

MOST_BARS = 30


@dataclass(frozen=True)
class Arbiter:
    """Of one model: who ran it in float64, on what, or `reason`, why nobody did; the soundness of its cells."""

    role: str
    environment: str
    chosen: int
    contested: int
    perturbed: int
    reason: str
    rows: tuple[tuple[str, Soundness], ...]
    figure: str


@dataclass(frozen=True)
class Powers:
    """Of one model: `power` at its own precision, `coarse` at others, or `reason`, why there is none."""

    role: str
    power: Power | None
    coarse: tuple[tuple[str, Power], ...]
    reason: str


@dataclass(frozen=True)
class Evidence:
    """`noise`: (cell, output's noise, what it is in words). `lacking`: what nobody gathered."""

    arbiters: tuple[Arbiter, ...]
    noise: tuple[tuple[str, OutputNoise, str], ...]
    powers: tuple[Powers, ...]
    lacking: tuple[str, ...]
    random: bool


def evidence(result: Result, letters: dict[str, str]) -> Evidence:
    """Everything that was gathered."""
    weighed = result.weighed
    noise = [(str(cell), entry) for cell, found in weighed.noise.items() for entry in found]
    lacking = []
    if all(found is None for found in weighed.arbiters.values()):
        lacking.append("the graph in float64 (tolerances are a convention then)")
    if not noise:
        lacking.append("each environment run again")
    if all(found is None for found in weighed.powers.values()):
        lacking.append("sabotaged copies of the model (these inputs may not be able to tell)")
    return Evidence(
        tuple(_arbiter(result, role, letters) for role, found in weighed.arbiters.items() if found is not None),
        tuple((cell, entry, describe(entry) or "the same bits") for cell, entry in noise),
        tuple(_powers(result, role) for role, found in weighed.powers.items() if found is not None),
        tuple(lacking),
        result.run.document["inputs"]["source"].startswith("random"),
    )


def _arbiter(result: Result, role: str, letters: dict[str, str]) -> Arbiter:
    found = result.weighed.arbiters[role]
    if not isinstance(found, Arbitration):
        return Arbiter(role, "", 0, 0, 0, found or "", (), "")
    rows = [(str(cell), entry) for cell, its in result.weighed.sound.items() if cell.role == role for entry in its]
    outputs = list(dict.fromkeys(entry.output for _, entry in rows))
    bars = [
        Bound(letters[cell], entry.error, entry.bound, entry.rounding, entry.sound)
        for cell, entry in rows
        # Shares of integers and errors of numbers have no axis in common, nor have outputs of several scales.
        if entry.error is not None and entry.worst is not None and entry.output == outputs[0]
    ]
    title = "Error of each environment beside float64, and what its precision allows"
    return Arbiter(
        role,
        found.environment,
        found.chosen,
        len(found.samples) - found.chosen,
        len(found.perturbed),
        "",
        tuple(rows),
        bounds(bars[:MOST_BARS], title, f"bounds-{role}") if any(bar.error for bar in bars) else "",
    )


def _powers(result: Result, role: str) -> Powers:
    found = result.weighed.powers[role]
    coarse = tuple((p.value, power) for (of, p), power in result.weighed.coarse.items() if of == role)
    return Powers(role, found, coarse, "") if isinstance(found, Power) else Powers(role, None, (), found or "")
