"""Compare the faithful float32 environments on four classifiers and 256 photographs.

`python run.py DATA MODELS [--limit N]`: DATA holds models/ and images/, MODELS the two made by experiments/models.
Writes results/cells.csv and results/pairs.csv beside this file, and the runs under runs/01_faithful_agreement.
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

import pandas as pd

import deltann

HERE = Path(__file__).parent
CELLS = ["model", "environment", "status", "accuracy", "version", "lower_s", "median_ms"]
PAIRS = ["model", "candidate", "reference", "verdict", "samples", "top1_disagreements", "ties", "top1_high",
         "top_k_disagreements", "kendall_tau_min", "rbo_min", "max_abs", "rms", "cosine"]  # fmt: skip


def main() -> None:
    """Run every model of study.toml."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", type=Path)
    parser.add_argument("--limit", type=int)
    arguments = parser.parse_args()
    study = tomllib.loads((HERE / "study.toml").read_text())
    cells, pairs = [], []
    for row in study["models"]:
        file = next(
            f / row["file"] for f in (arguments.models, arguments.data / "models") if (f / row["file"]).is_file()
        )
        result = deltann.compare(
            file,
            study["backends"],
            inputs=arguments.data / study["images"],
            preprocess=row["preprocess"],
            labels=arguments.data / study["labels"] if row.get("labelled", True) else None,
            limit=arguments.limit,
            out=Path("runs/01_faithful_agreement") / file.stem,
        )
        print(f"{file.name}: {result.verdict}", flush=True)
        accuracy = result.cells["accuracy"].map(lambda rates: next(iter(rates.values()), None))
        cells.append(result.cells.assign(model=file.stem, accuracy=accuracy)[CELLS])
        pairs.append(result.pairs.assign(model=file.stem)[PAIRS])
    (HERE / "results").mkdir(exist_ok=True)
    for name, frames in (("cells", cells), ("pairs", pairs)):
        table = pd.concat(frames)
        table.to_csv(HERE / "results" / f"{name}.csv", index=False, float_format="%.4g")
        print(table.to_string(index=False))


if __name__ == "__main__":
    main()
