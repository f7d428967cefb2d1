"""What a baseline lets pass: differences, failures and slowdowns that were accepted before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deltann.report.contents import Contents

ACCEPTED = "accepted by the baseline"


def accepted(
    contents: Contents, candidate: str, reference: str | None = None, output: str | None = None, *, timed: bool = False
) -> bool:
    """Whether a baseline accepts what this run says of a pair, of its times, or (no reference) of a cell's failure.

    `output`: what it says of this one of the pair's outputs, where it says anything of it; of all of them where None.
    """
    if passes(contents):
        return True
    rows = [
        row
        for row in (contents.drift.rows if contents.drift else ())
        if (row.entry.key.candidate, row.entry.key.reference) == (candidate, reference)
        and (row.entry.key.measured is not None) == timed
        and (output is None or row.entry.key.output in (output, None))
    ]
    return bool(rows) and all(row.accepted for row in rows)


def passes(contents: Contents) -> bool:
    """Whether a baseline accepts all of the run, whatever it would come to without."""
    return contents.drift is not None and contents.exit_code == 0
