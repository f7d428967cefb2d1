"""Compare every environment of the matrix, or of one row, with the reference on every model.

`python run.py [--row NAME] [--newest] [--night DATE] [--bench] [--limit N] [--baselines DIR [--accept]] --out DIR`

Into DIR: records.jsonl (`records.py`), and for each model MODEL.html, .json, .xml (JUnit), .md and the run itself.
A device that is absent is UNAVAILABLE. Exit code 1 where a cell ran on another device than its row's; with --baselines
where deltann says that a run is worse than what was accepted, without where a cell fails, differs or cannot tell; 2
where a comparison could not start.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import plan
import records

from deltann.host import host_class

DELTANN = Path(sys.executable).with_name("deltann")
WORSE = 1
"""Its exit code where a run differs, and with a baseline where it is worse than that."""
RESULTS = (0, 1, 3, 4)
"""deltann's exit codes that come with a report."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", help="this row alone [default: all, in this environment]")
    parser.add_argument("--newest", action="store_true", help="note that pre-releases are installed")
    parser.add_argument("--night", default=f"{datetime.now(UTC):%Y-%m-%d}", help="the date that records carry")
    parser.add_argument("--bench", action="store_true", help="time them too")
    parser.add_argument("--budget", default="60", help="seconds of measuring a model")
    parser.add_argument("--limit", help="use the first N samples")
    parser.add_argument("--matrix", type=Path, default=plan.FILE, help="another matrix than matrix.toml")
    parser.add_argument("--baselines", type=Path, help="folder of accepted results, one file a row")
    parser.add_argument("--accept", action="store_true", help="accept this run in place of the baseline")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    try:
        matrix = plan.read(given.matrix)
        rows = [matrix.row(given.row)] if given.row else list(matrix.rows)
    except ValueError as error:
        parser.error(str(error))
    if missing := [path for model in matrix.models for path in model.missing]:
        parser.error(f"{', '.join(dict.fromkeys(missing))} is missing: make it with 'make matrix-models'")
    given.out.mkdir(parents=True, exist_ok=True)
    found, codes = [], []
    for row in rows:
        baseline = _baseline(row, given)
        # The first night on a kind of host has nothing to be judged by: hosted runners are of several kinds.
        accept = baseline is not None and (given.accept or not _knows_this_host(baseline))
        judging = [] if baseline is None else ["--baseline", str(baseline), *(["--update-baseline"] if accept else [])]
        for model in matrix.models:
            code, new = compare(matrix, row, model, judging, given)
            found += new
            codes.append(code)
            records.write(given.out / "records.jsonl", found)
    for record in found:
        print(f"{record.model}  {record.environment}  {record.standing}  {record.reason}".rstrip())
    if any(code not in RESULTS for code in codes):
        return 2
    if given.baselines is not None:
        return 1 if WORSE in codes or any(record.astray for record in found) else 0
    return 1 if any(record.bad for record in found) else 0


def _baseline(row: plan.Row, given: argparse.Namespace) -> Path | None:
    """The row's file of accepted results, in a folder that is there."""
    if given.baselines is None:
        return None
    given.baselines.mkdir(parents=True, exist_ok=True)
    return Path(given.baselines / f"{row.name}{'-newest' if given.newest else ''}.jsonl")


def _knows_this_host(baseline: Path) -> bool:
    """Whether anything was accepted on a host of this one's class, with an accelerator or without."""
    lines = baseline.read_text().splitlines() if baseline.exists() else []
    return any(str(json.loads(line).get("host", "")).startswith(host_class()) for line in lines if line.strip())


def compare(
    matrix: plan.Matrix, row: plan.Row, model: plan.Model, judging: Sequence[str], given: argparse.Namespace
) -> tuple[int, list[records.Record]]:
    """The exit code of `deltann compare` for one row and model, and its records; none where it wrote no report."""
    name = model.name if given.row else f"{row.name}-{model.name}"
    files = {kind: given.out / f"{name}.{kind}" for kind in ("html", "json", "xml", "md")}
    folder = given.out / "runs" / name
    shutil.rmtree(folder, ignore_errors=True)
    command = [
        str(DELTANN), "compare", "--model", model.file, "--inputs", model.inputs,
        "--backends", ",".join([matrix.reference, *(e for e in row.environments if e != matrix.reference)]),
        "--reference", matrix.reference, "--out", str(folder), "--html", str(files["html"]),
        "--json", str(files["json"]), "--junit", str(files["xml"]), "--markdown", str(files["md"]),
    ]  # fmt: skip
    if model.preprocess:
        command += ["--preprocess", model.preprocess]
    if given.limit:
        command += ["--limit", given.limit]
    if given.bench:
        command += ["--bench", "--budget", given.budget]
    command += judging
    print(f"$ {' '.join(command)}", flush=True)
    code = subprocess.run(command, check=False, env={**os.environ, "PYTHONUNBUFFERED": "1"}).returncode
    if code not in RESULTS or not files["json"].is_file():
        print(f"{row.name}, {model.name}: deltann compare ended with exit code {code}", file=sys.stderr)
        return code if code not in RESULTS else 70, []
    document = json.loads(files["json"].read_text())
    found = records.of_report(
        document,
        night=given.night,
        row=row.name,
        newest=given.newest,
        model=model.name,
        device=row.device,
        reference=matrix.reference,
    )
    return code, list(found)


if __name__ == "__main__":
    sys.exit(main())
