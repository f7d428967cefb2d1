"""A result as tables: rows for pandas, JSON and Parquet."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from deltann.comparison.output import OutputComparison, plain
from deltann.comparison.rows import without_trailing_ones
from deltann.criteria import parse_tasks
from deltann.outcome import Status, Symptom
from deltann.store import Cell, CellRecord, Run
from deltann.tasks import Task
from deltann.tasks.classification import predictions

if TYPE_CHECKING:
    import pyarrow as pa

    from deltann.judging import Pair
    from deltann.result import Result

_PIECE_ROWS = 512
"""Rows of `samples.parquet` made at a time, so that memory does not grow with the samples."""


def cell_rows(result: Result) -> list[dict[str, Any]]:
    """A row a cell; times in seconds, `median_ms` a sample and no verdict, accuracies by output name.

    `first_ms`: the first run, whole. `peak_memory` and `artifact_bytes` in bytes; the artifact holds the weights.

    `actual`: what the engine told of what it really did (`deltann.backend.ACTUAL`).
    """
    rows = []
    for record in result.records:
        outcome, facts = record.outcome, record.facts
        rows.append({
            "cell": str(record.cell),
            "environment": record.cell.environment,
            "role": record.cell.role,
            "status": outcome.status.value,
            "stage": outcome.stage and outcome.stage.value,
            "symptom": outcome.symptom.value if outcome.symptom else _own_symptom(result, record.cell),
            "reason": outcome.reason,
            "version": facts.get("version"),
            "artifact": facts.get("artifact"),
            "artifact_cached": facts.get("artifact_cached"),
            "lower_s": facts.get("lower_s"),
            "load_s": facts.get("load_s"),
            "first_ms": result.first_ms(record.cell),
            "peak_memory": facts.get("peak_memory"),
            "artifact_bytes": facts.get("artifact_bytes"),
            "median_ms": result.median_ms(record.cell),
            "actual": dict(facts.get("actual") or {}),
            "accuracy": {name: hit.rate for name, hit in result.accuracies.get(str(record.cell), {}).items()},
        })  # fmt: skip
    return rows


def _own_symptom(result: Result, cell: Cell) -> str | None:
    """NONDETERMINISM where a cell that ran differs from itself beyond the tolerance."""
    noise = result.weighed.noise.get(cell, ())
    noisy = any(found.beyond for found in noise)
    return Symptom.NONDETERMINISM.value if noisy else None


def pair_rows(result: Result) -> list[dict[str, Any]]:
    """A row a pair and output (one row with `output` None where the pair has no outputs in common)."""
    rows = []
    for pair in result.compared:
        head = {
            "candidate": str(pair.candidate),
            "reference": str(pair.reference),
            "verdict": pair.judgement.verdict.value,
            "judged": pair.judged,
            "reasons": list(pair.judgement.reasons),
        }
        outputs = pair.comparison.outputs if pair.comparison else ()
        rows += [{**head, **_output_row(output)} for output in outputs] or [{**head, "output": None}]
    return rows


def _output_row(output: OutputComparison) -> dict[str, Any]:
    row: dict[str, Any] = {"output": output.name, "task": output.task.value}
    if numeric := output.numeric:
        names = ("elements", "max_abs", "mean_abs", "rms", "max_ulp", "cosine", "outside",
                 "nonfinite_one_side", "nonfinite_both", "worst_sample")  # fmt: skip
        row |= {name: getattr(numeric, name) for name in names}
    if tolerance := output.tolerance:
        row |= {"rtol": tolerance.rtol, "atol": tolerance.atol, "tolerance_source": tolerance.source}
    if found := output.classification:
        row |= {
            "samples": found.samples,
            "top1_disagreements": found.disagreements,
            "top1_rate": found.rate,
            "top1_low": found.interval[0],
            "top1_high": found.interval[1],
            "ties": found.ties,
            "by_precision": found.by_precision,
            "beyond_rounding": found.beyond_rounding,
            "top_k": found.k,
            "top_k_disagreements": found.top_k_disagreements,
            "ranked_rows": found.ranking.rows,
            "kendall_tau_mean": found.ranking.tau_mean,
            "kendall_tau_min": found.ranking.tau_min,
            "rbo_mean": found.ranking.rbo_mean,
            "rbo_min": found.ranking.rbo_min,
        }
    return row


def flip_rows(result: Result, pair: Pair) -> list[dict[str, Any]]:
    """A row a label flip of the pair: the sample, both labels and margins (in the scores' unit), tie or not."""
    names = result.run.sample_names
    outputs = pair.comparison.outputs if pair.comparison else ()
    return [
        {
            "output": output.name,
            "sample": names[flip.sample],
            "candidate_label": flip.label_a,
            "reference_label": flip.label_b,
            "candidate_margin": flip.margin_a,
            "reference_margin": flip.margin_b,
            "envelope": flip.envelope,
            "kind": flip.kind.value,
            "arbiter_label": flip.truth,
            "candidate_deficit": flip.deficit_a,
            "reference_deficit": flip.deficit_b,
            "wrong": _who(flip.wrong, pair),
        }
        for output in outputs
        if output.classification
        for flip in output.classification.flips
    ]


def _who(wrong: str | None, pair: Pair) -> list[str]:
    """The cells whose label the arbiter does not excuse; `["models"]` where two models choose differently."""
    names = {"a": str(pair.candidate), "b": str(pair.reference)}
    return [names.get(part, part) for part in wrong.split("+")] if wrong else []


def cell_table(result: Result) -> pa.Table:
    """`outcomes.parquet`: `cell_rows`, the accuracies and what engines really did as lists."""
    import pyarrow as pa

    rows = [
        {
            **row,
            "actual": [{"what": what, "value": value} for what, value in row["actual"].items()],
            "accuracy": [{"output": output, "rate": rate} for output, rate in row["accuracy"].items()],
        }
        for row in cell_rows(result)
    ]
    kinds = {"median_ms": pa.float64(), "first_ms": pa.float64(), "lower_s": pa.float64(), "load_s": pa.float64(),
             "peak_memory": pa.int64(), "artifact_bytes": pa.int64(), "artifact_cached": pa.bool_(),
             "actual": pa.list_(pa.struct({"what": pa.string(), "value": pa.string()})),
             "accuracy": pa.list_(pa.struct({"output": pa.string(), "rate": pa.float64()}))}  # fmt: skip
    return _table(rows, pa.schema([(name, kinds.get(name, pa.string())) for name in rows[0]]))


def sample_tables(run: Run, records: Sequence[CellRecord], tasks: Sequence[str] = ()) -> Iterator[pa.Table]:
    """`samples.parquet` in pieces: a row a sample, cell and classification output (`tasks` as in `Criteria`).

    Columns: cell, output, index, sample, label (the class expected, null where unknown), prediction (−1: none, a NaN),
    score, margin (both in the scores' unit).
    """
    import pyarrow as pa

    schema = pa.schema([
        ("cell", pa.string()), ("output", pa.string()), ("index", pa.int64()), ("sample", pa.string()),
        ("label", pa.int64()), ("prediction", pa.int64()), ("score", pa.float64()), ("margin", pa.float64()),
    ])  # fmt: skip
    # Parquet takes UTF-8 alone; a file's name may hold other bytes.
    names = [name.encode("utf-8", "backslashreplace").decode() for name in run.sample_names]
    labels = expected_classes(run) or [None] * len(names)
    asked = parse_tasks(tasks)
    yield pa.Table.from_batches([], schema)
    for record in records:
        outputs = run.outputs(record.cell) if record.outcome.status is Status.OK else {}
        for output, scores in outputs.items():
            task = asked.of(run.common_name(record.cell.role, output), scores)
            if task is not Task.CLASSIFICATION or len(scores) != len(names):
                continue
            found = predictions(without_trailing_ones(scores))
            columns = (names, labels, found.label.tolist(), found.score.tolist(), found.margin.tolist())
            rows = enumerate(zip(*columns, strict=True))
            while piece := [(str(record.cell), output, index, *values) for index, values in islice(rows, _PIECE_ROWS)]:
                yield _table([dict(zip(schema.names, row, strict=True)) for row in piece], schema)


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table, null where a number is not finite.

    By way of JSON: handed a list, pyarrow imports pandas to ask whether it is one of its own, a third of a second.
    """
    from pyarrow import json as reader

    data = "\n".join(json.dumps(plain(row), allow_nan=False) for row in rows).encode()
    return reader.read_json(
        io.BytesIO(data),
        read_options=reader.ReadOptions(block_size=len(data) + 1),
        parse_options=reader.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
    )


def expected_classes(run: Run) -> list[int | None] | None:
    """The class each sample should get: its label and the label offset; None where no labels are known."""
    labels = run.document["labels"]
    if labels is None:
        return None
    return [None if value is None else value + (labels["offset"] or 0) for value in labels["values"]]
