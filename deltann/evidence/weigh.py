"""What a run's evidence says of each of its cells and models, before any pair is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy.typing as npt

from deltann.comparison.evidence import Arbitration, Sabotage
from deltann.comparison.noise import OutputNoise, self_noise
from deltann.comparison.power import Power, power
from deltann.comparison.precision import Precision, coarser, declared
from deltann.comparison.soundness import Soundness, perturbations, soundness
from deltann.comparison.tolerance import Tolerances
from deltann.criteria import Tasks
from deltann.evidence.stored import arbitration, repeats, sabotaged, weights
from deltann.model import Model
from deltann.store import Cell, CellRecord, Run

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Weighed:
    """By role: what the arbiter found (why nothing, None where it was not asked) and the power of these inputs, judged
    as what the model itself declares; `coarse`: by role and precision, where cells are judged as something else.

    By cell: the precision it is judged as, its soundness and its self-noise, an entry an output; a cell that was not
    looked at has none. `declared` by role and `given` by cell: names of outputs, those that both models know it by.
    `backends`: by cell that has another backend's framework, that one: they share mistakes (`native` of torch: torch).
    """

    arbiters: Mapping[str, Arbitration | str | None] = field(default_factory=dict)
    powers: Mapping[str, Power | str | None] = field(default_factory=dict)
    coarse: Mapping[tuple[str, Precision], Power] = field(default_factory=dict)
    precisions: Mapping[Cell, Precision] = field(default_factory=dict)
    sound: Mapping[Cell, tuple[Soundness, ...]] = field(default_factory=dict)
    noise: Mapping[Cell, tuple[OutputNoise, ...]] = field(default_factory=dict)
    declared: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    given: Mapping[Cell, tuple[str, ...]] = field(default_factory=dict)
    backends: Mapping[Cell, str] = field(default_factory=dict)


def weigh(
    run: Run,
    records: Mapping[Cell, CellRecord],
    ok: Mapping[Cell, Arrays],
    tolerances: Tolerances,
    tasks: Tasks,
    limit: float | None,
) -> Weighed:
    """Weigh the evidence of `run`; `ok`: the outputs of every cell that has some.

    Raises:
        UsageError: the evidence is damaged.
    """
    models = run.models
    arbiters = {role: arbitration(run, role) for role in models}
    owns = {role: _own_precision(model, weights(run, role)) for role, model in models.items()}
    precisions = {cell: _precision(records[cell], owns[cell.role]) for cell in ok}
    powers: dict[str, Power | str | None] = {}
    coarse: dict[tuple[str, Precision], Power] = {}
    for role, own in owns.items():
        others = {precision for cell, precision in precisions.items() if cell.role == role} - {own}
        found = _powers(run, role, arbiters[role], tolerances, tasks, limit, (own, *sorted(others)))
        powers[role] = found[own] if isinstance(found, dict) else found
        ordered = sorted(others, key=list(Precision).index)
        coarse |= {(role, other): found[other] for other in ordered} if isinstance(found, dict) else {}
    perturbed = {role: perturbations(found) for role, found in arbiters.items() if isinstance(found, Arbitration)}
    sound, noise = {}, {}
    for cell, outputs in ok.items():
        arbiter = arbiters[cell.role]
        if isinstance(arbiter, Arbitration):
            sound[cell] = soundness(outputs, arbiter, precisions[cell], perturbed[cell.role])
        noise[cell] = _noise(run, records[cell], outputs, tolerances, tasks)
    declared_ = {
        role: tuple(run.common_name(role, spec.name) for spec in model.outputs) for role, model in models.items()
    }
    given = {cell: tuple(_common(run, cell.role, outputs)) for cell, outputs in ok.items()}
    backends = {cell: found for cell in ok if (found := records[cell].facts.get("backend"))}
    return Weighed(arbiters, powers, coarse, precisions, sound, noise, declared_, given, backends)


def _noise(
    run: Run, record: CellRecord, outputs: Arrays, tolerances: Tolerances, tasks: Tasks
) -> tuple[OutputNoise, ...]:
    cell = record.cell
    if failed := record.facts.get("repeat_failed"):
        samples = record.facts.get("repeated") or 0
        return tuple(OutputNoise(run.common_name(cell.role, name), samples, False, problem=failed) for name in outputs)
    again = [_common(run, cell.role, found) for found in repeats(run, cell)]
    if not again:
        return ()
    first = _common(run, cell.role, outputs)
    return self_noise(first, again, tolerances, {name: tasks.of(name, array) for name, array in first.items()})


def _powers(
    run: Run,
    role: str,
    arbiter: Arbitration | str | None,
    tolerances: Tolerances,
    tasks: Tasks,
    limit: float | None,
    precisions: Sequence[Precision],
) -> dict[Precision, Power] | str | None:
    """The power at each precision; why there is none, None where it was not asked for."""
    found = sabotaged(run, role)
    if not isinstance(found, Sabotage):
        return found
    copies = tuple(
        replace(copy, outputs=None if copy.outputs is None else _common(run, role, copy.outputs))
        for copy in found.copies
    )
    sound = _common(run, role, found.sound)
    if all(copy.outputs is None for copy in copies):
        return f"none of {len(found.copies)} copies ran" + "".join(f": {copy.reason}" for copy in found.copies[:1])
    if not sound:
        return "no output has a row for each sample"
    meant = {name: tasks.of(name, array) for name, array in sound.items()}
    exact = None
    # Of two models, no pair is judged by float64, and so no copy either.
    if isinstance(arbiter, Arbitration) and len(run.models) == 1:
        parts = [_common(run, role, part) for part in (arbiter.float64, arbiter.float32, *arbiter.perturbed)]
        exact = replace(arbiter, float64=parts[0], float32=parts[1], perturbed=tuple(parts[2:]))
    spoilt = replace(found, sound=sound, copies=copies)
    every = len(run.sample_names)
    powers = {precision: power(spoilt, tolerances, meant, limit, exact, precision, every) for precision in precisions}
    return {precision: known for precision, known in powers.items() if known is not None}


def _precision(record: CellRecord, own: Precision) -> Precision:
    actual, options = record.facts.get("actual") or {}, record.facts.get("options") or {}
    return declared(options, actual.get("precision"), own, actual.get("note"))


def _own_precision(model: Model, weights: Precision | None) -> Precision:
    """The coarsest floating type that the model declares or holds; one in float64 alone is held to that."""
    types = {spec.dtype for spec in (*model.inputs, *model.outputs)}
    if weights is not None or "float16" in types:
        return coarser(weights or Precision.FLOAT16, Precision.FLOAT16)
    return Precision.FLOAT64 if "float64" in types and "float32" not in types else Precision.FLOAT32


def _common(run: Run, role: str, outputs: Arrays) -> dict[str, npt.NDArray[Any]]:
    return {run.common_name(role, name): array for name, array in outputs.items()}
