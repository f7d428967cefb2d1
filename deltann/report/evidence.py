"""What the verdict rests on, for the console: float64, self-noise, sabotage, who is blamed, and which one is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from deltann.comparison.attribution import Sure
from deltann.comparison.evidence import Arbitration
from deltann.comparison.noise import describe
from deltann.comparison.power import Power
from deltann.comparison.precision import Precision
from deltann.native import NATIVE
from deltann.report.text import printable

if TYPE_CHECKING:
    from deltann.comparison.soundness import Soundness
    from deltann.result import Result
    from deltann.store import Cell

UNLIKE = "not as exported"
"""Of the model itself, which is right by definition: float64 ran its export."""
MOST_MISSED = 3
MOST_TESTS = 5
SIGNIFICANT = 0.05


def soundness_table(result: Result, letters: Mapping[str, str]) -> list[RenderableType]:
    """Each environment beside float64: its error, what its precision allows, and whether that holds."""
    parts: list[RenderableType] = []
    for role, arbiter in result.weighed.arbiters.items():
        of_model = f" of --{role}" if len(result.weighed.arbiters) > 1 else ""
        if isinstance(arbiter, str):
            parts += ["", printable(f"No arbiter{of_model}: {arbiter}")]
        if not isinstance(arbiter, Arbitration):
            continue
        more, unlike = len(arbiter.samples) - arbiter.chosen, list[str]()
        seen = f"{arbiter.chosen} samples" + (f" and {more} contested ones" if more else "")
        engine = arbiter.environment.partition("[")[0]
        table = Table("", "environment", "judged as", box=None, pad_edge=False, header_style="bold")
        for column in ("error", "float32's", "allowed", ""):
            table.add_column(column, justify="right" if column else "left")
        for cell, found in result.weighed.sound.items():
            if cell.role == role and found:
                worst = max(found, key=_excess)
                table.add_row(letters[str(cell)], printable(str(cell)), *_row(worst, str(cell) == NATIVE))
                unlike += [f"{letters[str(cell)]} {cell}: {entry.unlike}" for entry in found if entry.unlike]
        parts += ["", f"Beside float64{of_model} (by {engine}, on {seen}; root mean square):", table]
        parts += [printable(line) for line in unlike]
    return parts


def _excess(found: Soundness) -> tuple[bool, float]:
    if found.sound is None:
        return False, -1.0
    return not found.sound, (found.error or 0.0) / found.bound if found.bound else 0.0


def _row(found: Soundness, of_object: bool) -> Sequence[RenderableType]:
    numbers = ["-" if number is None else f"{number:.1e}" for number in (found.error, found.rounding, found.bound)]
    # What is wrong may be single elements, which the root mean square hides.
    singles = found.sound is False and found.worst is not None and (found.error or 0.0) <= (found.bound or 0.0)
    if singles:
        largest = (found.worst, found.worst_rounding, found.worst_bound)
        numbers = ["-" if number is None else f"{number:.1e}" for number in largest]
    style = {True: "green", False: "bold red", None: "yellow"}[found.sound]
    told = {True: "sound", False: UNLIKE if of_object else "unsound", None: "not judged"}[found.sound]
    told += " (largest element)" if singles else ""
    coarse = found.precision not in (Precision.FLOAT64, Precision.FLOAT32)
    return (Text(str(found.precision), "yellow" * coarse), *numbers, Text(told, style))


def evidence_lines(result: Result, letters: Mapping[str, str]) -> list[RenderableType]:
    """Self-noise, detection power and the odd ones out, a line or two each."""
    lines = [*_noise(result, letters), *_power(result), *_random(result), *_better(result, letters), *_lacking(result)]
    parts: list[RenderableType] = ["", *(printable(line) for line in lines)] if lines else []
    for blame in result.blamed:
        known = ", ".join(letters[name] for name in blame.names if name in letters)
        names = f"{known} {', '.join(blame.names)}".strip()
        style = "yellow" if blame.sure is Sure.UNKNOWN else "bold red"
        who = "who is wrong: cannot tell" if blame.sure is Sure.UNKNOWN else f"wrong, by {blame.sure}"
        told = Text(f"{printable(names)}: ").append(who, style)
        parts.append(told.append(printable(f": {blame.reason}"), "default"))
    return parts


def _lacking(result: Result) -> list[str]:
    """What the verdict does not rest on, since nobody gathered it."""
    weighed, lacking = result.weighed, []
    if all(found is None for found in weighed.arbiters.values()):
        lacking.append("float64 (tolerances are a convention)")
    if not any(weighed.noise.values()):
        lacking.append("each environment run again")
    if all(found is None for found in weighed.powers.values()):
        lacking.append("sabotaged copies (these inputs may not be able to tell)")
    return [f"Not gathered: {', '.join(lacking)}; --evidence all does"] if lacking else []


def _noise(result: Result, letters: Mapping[str, str]) -> list[str]:
    lines, same = [], []
    for cell, found in result.weighed.noise.items():
        told = [f"output '{noise.output}': {text}" for noise in found if (text := describe(noise))]
        lines += [f"{letters[str(cell)]} {cell} is not deterministic: {text}" for text in told[:1]]
        same += [cell] if found and not told else []
    if same:
        samples = max(noise.samples for cell in same for noise in result.weighed.noise[cell])
        who = "each environment" if len(same) == len(result.weighed.noise) else _letters(same, letters)
        lines.insert(0, f"Run again, forwards and backwards ({samples} samples): {who} gives the same bits")
    return lines


def _letters(cells: Sequence[Cell], letters: Mapping[str, str]) -> str:
    return "each of " + ", ".join(letters[str(cell)] for cell in cells)


def _power(result: Result) -> list[str]:
    lines = []
    for role, found in result.weighed.powers.items():
        of_model = f" of --{role}" if len(result.weighed.powers) > 1 else ""
        if isinstance(found, str):
            lines.append(f"No sabotaged copies{of_model}: {found}")
        elif isinstance(found, Power):
            low, high = found.interval
            lines.append(
                f"Could these inputs have told? Of {found.copies} copies{of_model} with a fault each, "
                f"{found.noticed} are noticed ({low:.0%} to {high:.0%}); {found.by_labels} change a label"
            )
            coarse = [
                f"{power.noticed} as {precision}"
                for (of, precision), power in result.weighed.coarse.items()
                if of == role
            ]
            lines += [f"  where rounding is coarse: {', '.join(coarse)}"] if coarse else []
            lines += [f"  missed: {text}" for text in found.missed[:MOST_MISSED]]
            more = len(found.missed) - MOST_MISSED
            lines += [f"  … and {more} more missed; --json has all"] if more > 0 else []
    return lines


def _random(result: Result) -> list[str]:
    source = result.run.document["inputs"]["source"]
    if not source.startswith("random"):
        return []
    return ["Random inputs: rates of labels hold for noise, not for your data; give --inputs to learn about yours"]


def _better(result: Result, letters: Mapping[str, str]) -> list[str]:
    """The pairs whose accuracies differ by more than chance."""
    found = [
        (test, f"{letters[str(pair.candidate)]}:{letters[str(pair.reference)]}")
        for pair in result.compared
        for test in pair.mcnemar.values()
        if test.adjusted <= SIGNIFICANT
    ]
    found.sort(key=lambda item: item[0].adjusted)
    lines = [
        f"{pair}: accuracy differs (McNemar p = {test.adjusted:.2g}): right alone {test.candidate_only} and "
        f"{test.reference_only} times"
        for test, pair in found[:MOST_TESTS]
    ]
    return [*lines, *([f"… and {len(found) - MOST_TESTS} more pairs"] if len(found) > MOST_TESTS else [])]
