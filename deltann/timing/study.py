"""From what a user asks for to times: a comparison of the outputs, then the bench, in one folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltann.environment import Environment, parse_all
from deltann.errors import UsageError
from deltann.model import load_model
from deltann.native.exporting import is_path
from deltann.runner.cell import Limits
from deltann.runner.memory import DEFAULT as DEFAULT_MEMORY
from deltann.store import Run, RunStatus, open_run
from deltann.timing.against import check_same_model
from deltann.timing.machine import INPUTS
from deltann.timing.measure import bench
from deltann.timing.options import Options, with_threads
from deltann.timing.pairs import timed
from deltann.timing.stored import Timing, document_of, timing

if TYPE_CHECKING:
    from deltann.result import Result
    from deltann.runner.cells import Listener


def bench_model(
    model: Any = None,
    backends: str | Iterable[str] | None = None,
    *,
    reference: str | None = None,
    margin: float | str | None = None,
    budget: float | None = None,
    percentile: float | None = None,
    threads: int | None = None,
    pin: str | None = None,
    beside: str | Path | None = None,
    out: str | Path | None = None,
    timeout: float | str | Sequence[str] = (),
    memory_limit: str = DEFAULT_MEMORY,
    listener: Listener = lambda _what, _doing, _done, _total: None,
    **asked: Any,
) -> tuple[Result, Timing]:
    """Compare `model` under each environment, then time them, or go on with what `out` holds of that.

    Args:
        model, backends: as `deltann.compare` takes them (an object itself is compared, and not timed); needless where
            `out` is a finished comparison.
        reference: the environment that the others are timed against; the first where None.
        margin: the slowdown that must not go unnoticed, such as `0.05` or `"5%"`, which is the default.
        budget: seconds that measuring may take (60).
        percentile: of the runs (50, the median).
        threads: the option `threads` of every environment.
        pin: processors that the environments may use, such as `"0,1"` or `"0-3"`; all where None.
        beside: a run whose times are to be put beside these (`deltann.timing.against`): refused before anything is
            timed where it is of other work.
        out, timeout, memory_limit, listener: as `deltann.compare` takes them. Where none of `reference`, `margin`,
            `budget`, `percentile` and `pin` is given, an interrupted bench in `out` goes on with its own.
        asked: what else `deltann.compare` takes: inputs (16 random samples where absent), shape, preprocess, …

    Raises:
        UsageError: the request or its input is wrong.
        deltann.study.Interrupted, deltann.timing.measure.Interrupted: Ctrl-C.
    """
    import deltann

    chosen = {"reference": reference, "margin": margin, "budget": budget, "percentile": percentile, "pin": pin}
    options: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    wanted = Options.of(**options)
    limits = Limits.of(timeout, memory_limit)
    environments = None if backends is None else parse_all(backends)
    if threads is not None:
        environments = with_threads(_needed("backends", environments), threads)
        if wanted.reference and "threads" not in dict((base := Environment.parse(wanted.reference)).options):
            wanted = replace(wanted, reference=str(with_threads([base], threads)[0]))
    run = None if out is None else _finished(Path(out), model, environments, asked)
    if run is None:
        environments = _needed("backends", environments)
        result = deltann.compare(
            _needed("model", model),
            [str(environment) for environment in environments],
            # What is timed is judged by one reference, and so are the outputs; by what their precision can give.
            **{"inputs": INPUTS, "evidence": "arbiter", **asked},
            reference=wanted.reference or str(environments[0]),
            timeout=timeout,
            memory_limit=memory_limit,
            out=out,
            listener=listener,
        )
    else:
        result = deltann.load(run)
        if not options and (begun := document_of(run)) is not None:
            wanted = Options.from_json(begun["options"])
    if beside is not None:
        check_same_model(result.run, open_run(beside))
    result = replace(result, run=bench(result.run, wanted, limits, listener))
    found = timing(result.run, result=result)
    if found is None:
        raise UsageError(f"{result.run.folder}: its times are gone; measure again")
    return result, found


def _needed(name: str, value: Any) -> Any:
    if value is None:
        raise UsageError(f"--{name} is missing: deltann bench --model FILE.onnx --backends torch,ort")
    return value


def _finished(
    out: Path, model: Any, environments: Sequence[Environment] | None, asked: Mapping[str, Any]
) -> Run | None:
    """The finished comparison in `out`, where there is one.

    Raises:
        UsageError: it is of another model, other environments, or the request asks for its inputs anew; or `model`
            cannot be read.
    """
    if not (out / "run.json").is_file() or (run := open_run(out)).status is not RunStatus.COMPLETE:
        return None
    names = [str(cell) for cell in timed(run.cells)]
    if model is not None and (not is_path(model) or load_model(model).sha256 != run.models["model"].sha256):
        what = "model"
    elif environments is not None and [str(environment) for environment in environments] != names:
        what = "backends"
    elif asked:
        what = next(iter(asked)).replace("_", "-")
    else:
        return run
    raise UsageError(f"{out} holds a finished comparison: leave out --{what} to time it, or choose another --out")
