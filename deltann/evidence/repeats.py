"""Each environment against itself: the first samples again, by the same executable."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deltann.outcome import Stage, Status
from deltann.runner.local import WorkerProcess

ORDERS = (False, True)
"""Once in the same order, once backwards: what an executable keeps between runs, its last answer say, shows there."""


def repeat(
    worker: WorkerProcess, request: Mapping[str, Any], folder: Path, timeouts: Mapping[Stage, float]
) -> str | None:
    """Run `request` (see `Work.request`) again in each order, outputs in `folder/1` and `folder/2`.

    Returns what went wrong, which is a finding about an executable that had run before; None where nothing did.
    """
    for number, backwards in enumerate(ORDERS, 1):
        out = folder / str(number)
        shutil.rmtree(out, ignore_errors=True)
        reply = worker.request({"op": "run", "out": str(out.absolute()), "backwards": backwards, **request}, timeouts)
        if reply.outcome.status is not Status.OK:
            return f"run again, it failed: {reply.outcome.reason}"
    return None
