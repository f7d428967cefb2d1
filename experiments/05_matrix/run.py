"""Compare every environment of the matrix, or of one row, with the reference on every model.

`python run.py [--row NAME] [--newest] [--night DATE] [--bench] [--limit N] [--baselines DIR [--accept]] --out DIR`

Into DIR: records.jsonl (`records.py`), and for each model MODEL.html, .json, .xml (JUnit), .md and the run itself.
A device that is absent is UNAVAILABLE. Exit code 1 where a cell is not known to have computed on its row's device; with
--baselines where deltann says that a run is worse than what was accepted, or where a cell that was not accepted is bad
(`records.py`); without, where any is bad; 2 where a comparison could not start, or its reference gave nothing.

The first time on a class of host there is nothing to judge by: what is not bad becomes the baseline, and the rest is
left for somebody to mend or --accept.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import plan
import records

from deltann.baseline.entries import WITH, entries
from deltann.baseline.file import read_baseline, write_baseline
from deltann.errors import UsageError
from deltann.host import host_class
from deltann.report.contents import load_contents

DELTANN = Path(sys.executable).with_name("deltann")
WORSE = 1
"""Its exit code where a run differs, and with a baseline where it is worse than that."""
RESULTS = (0, 1, 3, 4)
"""deltann's exit codes that come with a report."""
NO_RESULT = 70
"""In place of its exit code where there is no report, or the reference gave nothing to compare with."""


@dataclass(frozen=True)
class Compared:
    """A row on a model: the exit code, whether a baseline judged it, and its records."""

    code: int
    judged: bool
    found: list[records.Record]

    @property
    def fails(self) -> bool:
        """Whether the night fails by it."""
        if any(record.astray for record in self.found) or (self.judged and self.code == WORSE):
            return True
        # A baseline that accepts what is bad ends with 0; times beside another engine are a level, and never bad.
        return any(record.bad for record in self.found) and not (self.judged and self.code == 0)


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
    try:
        known = {row.name: _knows_this_host(_baseline(row, given)) for row in rows}
        if given.baselines is not None and not any(given.baselines.glob("*.jsonl")):
            _warn(f"{given.baselines} holds nothing accepted: this is the first night of all, or its cache is gone")
        given.out.mkdir(parents=True, exist_ok=True)
        done: list[Compared] = []
        for row in rows:
            for model in matrix.models:
                done.append(compare(matrix, row, model, known[row.name], given))
                records.write(given.out / "records.jsonl", (record for one in done for record in one.found))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for one in done:
        for record in one.found:
            print(f"{record.model}  {record.title}  {record.standing}  {record.reason}".rstrip())
    if any(one.code not in RESULTS for one in done):
        return 2
    return 1 if any(one.fails for one in done) else 0


def _baseline(row: plan.Row, given: argparse.Namespace) -> Path | None:
    """The row's file of accepted results, in a folder that is there."""
    if given.baselines is None:
        return None
    given.baselines.mkdir(parents=True, exist_ok=True)
    return Path(given.baselines / f"{row.name}{'-newest' if given.newest else ''}.jsonl")


def _knows_this_host(baseline: Path | None) -> bool:
    """Whether anything was accepted on a host of this one's class, with an accelerator or without.

    Raises:
        UsageError: the baseline cannot be read.
    """
    known = read_baseline(baseline).entries if baseline is not None and baseline.exists() else ()
    return any(entry.key.host.split(WITH)[0] == host_class() for entry in known)


def _accept_what_is_not_bad(baseline: Path, run: Path, found: Sequence[records.Record]) -> None:
    """Add the entries of a run's cells that are not bad to the baseline, which need not be there.

    Raises:
        UsageError: parts of the run are missing, or the baseline cannot be read or written.
    """
    contents = load_contents(run)
    if missing := contents.result.missing:
        raise UsageError(f"{baseline}: a run with parts missing cannot be accepted ({missing[0]}); run it again")
    good = {record.environment for record in found if not record.bad}
    new = {entry.key: entry for entry in entries(contents) if entry.key.candidate in good}
    old = read_baseline(baseline).entries if baseline.exists() else ()
    write_baseline(baseline, [*(entry for entry in old if entry.key not in new), *new.values()])
    left = [record for record in found if record.bad]
    _tell(
        f"{found[0].row}, {found[0].model}: accepted: first night on {host_class()}: {len(good)} of {len(found)}"
        + (f"; not accepted: {', '.join(f'{record.title} ({record.standing})' for record in left)}" if left else "")
    )


def _tell(line: str) -> None:
    """Print a line, on GitHub into the summary of the step too."""
    print(line, flush=True)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a") as stream:
            stream.write(f"- {line}\n")


def _warn(line: str) -> None:
    on_github = os.environ.get("GITHUB_ACTIONS") == "true"
    print(f"::warning title=No baselines::{line}" if on_github else f"warning: {line}", file=sys.stderr)


def compare(matrix: plan.Matrix, row: plan.Row, model: plan.Model, known: bool, given: argparse.Namespace) -> Compared:
    """Run `deltann compare` for one row and model; no records where it wrote no report.

    Raises:
        UsageError: the run is to be accepted, and cannot be.
    """
    baseline = _baseline(row, given)
    judged = baseline is not None and (known or given.accept)
    name = model.name if given.row else f"{row.name}-{model.name}"
    files = {kind: given.out / f"{name}.{kind}" for kind in ("html", "json", "xml", "md")}
    folder = given.out / "runs" / name
    shutil.rmtree(folder, ignore_errors=True)
    for file in files.values():
        file.unlink(missing_ok=True)  # of an earlier night
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
    if judged:
        command += ["--baseline", str(baseline), *(["--update-baseline"] if given.accept else [])]
    print(f"$ {' '.join(command)}", flush=True)
    code = subprocess.run(command, check=False, env={**os.environ, "PYTHONUNBUFFERED": "1"}).returncode
    if code not in RESULTS or not files["json"].is_file():
        print(f"{row.name}, {model.name}: deltann compare ended with exit code {code}", file=sys.stderr)
        return Compared(code if code not in RESULTS else NO_RESULT, judged, [])
    document = json.loads(files["json"].read_text())
    found = list(
        records.of_report(
            document,
            night=given.night,
            row=row.name,
            newest=given.newest,
            model=model.name,
            device=row.device,
            reference=matrix.reference,
            none_newer=given.newest and plan.none_newer(row, plan.pinned()),
        )
    )
    reference = next(cell for cell in document["cells"] if cell["environment"] == matrix.reference)
    if reference["status"] != "OK":
        why = f"the reference is {reference['status']}: {reference['reason']}"
        print(f"{row.name}, {model.name}: {why}", file=sys.stderr)
        return Compared(NO_RESULT, judged, found)
    if baseline is not None and not judged:
        _accept_what_is_not_bad(baseline, folder, found)
    return Compared(code, judged, found)


if __name__ == "__main__":
    sys.exit(main())
