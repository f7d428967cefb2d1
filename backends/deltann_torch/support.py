"""Which models the table can lower, said without building anything."""

from __future__ import annotations

from deltann.lowering.support import unsupported as missing_in
from deltann.model import Model
from deltann_torch import ops as ops  # importing it fills the table
from deltann_torch.table import TABLE


def unsupported(model: Model) -> str | None:
    """Why the model cannot be lowered, naming every operator that is missing; None if it can."""
    return missing_in(model, TABLE, "torch")
