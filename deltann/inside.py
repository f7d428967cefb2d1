"""What belongs to a run: its folder's own files, and what links among them lead to within it.

A run may be a stranger's, so a link that leads out of it is followed nowhere, whatever part it stands for: reports
could show, and timing could add to, files that are none of its business. The run's folder may be a link itself; who
names it has chosen it.
"""

from __future__ import annotations

from pathlib import Path


class LeadsOut(ValueError):
    """A part of a run is a link that leads out of it, or nowhere."""


def check_inside(folder: Path, *paths: Path) -> None:
    """Raise LeadsOut where one of `paths`, which need not exist, is not in the run's `folder` once links are followed.

    Raises:
        OSError: it cannot be looked at.
    """
    root = folder.resolve()
    for path in paths:
        try:
            inside = path.resolve().is_relative_to(root)
        except RuntimeError as error:  # Python 3.11 and 3.12 of a link to itself
            raise LeadsOut(f"{path.relative_to(folder)} is a link that leads nowhere") from error
        if not inside:
            raise LeadsOut(f"{path.relative_to(folder)} leads out of the run")
