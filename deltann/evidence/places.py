"""Where in a run's folder evidence is.

RUN/evidence/ROLE/evidence.json                  which samples, by what engine, and how each part ended
RUN/evidence/ROLE/float64, float32, perturbed-N  outputs of the graph by the arbiter's engine
RUN/evidence/ROLE/sound, copy-NN                 outputs of the model and of its sabotaged copies
RUN/evidence/repeats/CELL/N                      outputs of a cell's executable, run again
"""

from __future__ import annotations

from pathlib import Path

from deltann.store import Cell, Run


def evidence_folder(run: Run, role: str) -> Path:
    """The evidence on one of the run's models."""
    return run.folder / "evidence" / role


def repeats_folder(run: Run, cell: Cell) -> Path:
    """A cell's repeated outputs."""
    return run.folder / "evidence" / "repeats" / cell.folder
