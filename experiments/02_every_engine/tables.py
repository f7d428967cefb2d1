"""The tables of a finished run, to results/ beside this file: `python tables.py RUN`."""

from __future__ import annotations

import sys
from pathlib import Path

import deltann

HERE = Path(__file__).parent
CELLS = ["environment", "status", "accuracy", "version", "precision", "threads", "lower_s", "median_ms"]
PAIRS = ["candidate", "reference", "verdict", "samples", "top1_disagreements", "top1_low", "top1_high", "ties",
         "top_k_disagreements", "kendall_tau_mean", "max_abs", "rms", "cosine"]  # fmt: skip


def main(run: str) -> None:
    """Every cell and every pair."""
    result = deltann.load(run)
    cells = result.cells
    told = {name: cells["actual"].map(lambda actual, name=name: actual.get(name)) for name in ("precision", "threads")}
    accuracy = cells["accuracy"].map(lambda rates: next(iter(rates.values()), None))
    (HERE / "results").mkdir(exist_ok=True)
    for name, table in (("cells", cells.assign(accuracy=accuracy, **told)[CELLS]), ("pairs", result.pairs[PAIRS])):
        table.to_csv(HERE / "results" / f"{name}.csv", index=False, float_format="%.4g")
        print(table.to_string(index=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
