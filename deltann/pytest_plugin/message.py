"""What a failed test says: the failures, the screen of the comparison, the worst samples, the command that explains."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console

from deltann.findings import command
from deltann.report.console import print_result
from deltann.report.contents import Contents
from deltann.report.samples import worst_samples
from deltann.report.text import printable
from deltann.report.timing import timing_parts

MOST_WORST = 5
WIDTH = 80


def message(contents: Contents, failures: Sequence[str]) -> str:
    """The whole text; its first line is what pytest's short summary shows. `failures`: a line each, one at least."""
    result = contents.result
    models = " against ".join(model.name for model in result.run.models.values())
    first, *others = map(printable, failures)
    more = f" (and {len(others)} more)" if others else ""
    parts = [f"{printable(models)}: {first}{more}", *others, "", _screen(contents), *_worst(contents)]
    # On a line of its own, however long, so that it can be copied.
    return "\n".join([*parts, "", f"To see more: {command(contents)}"])


def _screen(contents: Contents) -> str:
    file = io.StringIO()
    console = Console(file=file, width=WIDTH, color_system=None, highlight=False, markup=False, emoji=False)
    print_result(contents.result, console)
    for part in ["", *timing_parts(contents.timing)] if contents.timing is not None else []:
        console.print(part)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def _worst(contents: Contents) -> list[str]:
    """Where outputs that are no labels are furthest apart."""
    lines = [
        printable(
            f"  {sample.name}: {sample.candidate} and {sample.reference}, output '{sample.output}', "
            f"max|Δ| {sample.max_abs:.2g}"
        )
        for sample in worst_samples(contents.result)[:MOST_WORST]
    ]
    return ["", "Worst samples:", *lines] if lines else []
