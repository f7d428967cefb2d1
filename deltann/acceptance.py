"""What a baseline lets pass: differences, failures and slowdowns that were accepted before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deltann.report.contents import Contents

ACCEPTED = "accepted by the baseline"


def accepted(contents: Contents, candidate: str, reference: str | None = None, *, timed: bool = False) -> bool:
    """Whether a baseline accepts what this run says of a pair, of its times, or (no reference) of a cell's failure."""
    from deltann.baseline.drift import Standing

    if passes(contents):
        return True
    rows = [
        row.standing
        for row in (contents.drift.rows if contents.drift else ())
        if (row.entry.key.candidate, row.entry.key.reference) == (candidate, reference)
        and (row.entry.key.measured is not None) == timed
    ]
    return bool(rows) and not {Standing.WORSE, Standing.NEW} & set(rows)


def passes(contents: Contents) -> bool:
    """Whether a baseline accepts all of the run, whatever it would come to without."""
    return contents.drift is not None and contents.exit_code == 0
