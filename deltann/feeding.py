"""What each model of a run is fed with: its shapes bound, and the samples as it takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deltann.binding import Binding, bind, parse_shapes
from deltann.cache import cache_dir
from deltann.dataset import Materialised, RandomSource, Source, materialise
from deltann.errors import UsageError
from deltann.model import Model
from deltann.preprocess import Pipeline
from deltann.runner.cells import Listener


def bind_each(
    models: Mapping[str, Model], shape: Mapping[str, tuple[int, ...]] | Sequence[str], batch_size: int
) -> dict[str, Binding]:
    """By role.

    Raises:
        UsageError: a model cannot be bound so.
    """
    shapes = shapes_of(shape)
    bindings = {}
    for role, model in models.items():
        # Of two models, each takes the shapes that name its inputs; a name that neither has is still refused.
        others = {spec.name for other in models.values() if other is not model for spec in other.inputs}
        own = {spec.name for spec in model.inputs}
        fitting = {name: dims for name, dims in shapes.items() if name in own or name not in others}
        bindings[role] = bind(model, fitting, batch_size)
    return bindings


def shapes_of(shape: Mapping[str, tuple[int, ...]] | Sequence[str]) -> dict[str, tuple[int, ...]]:
    """By input, as `deltann.compare` takes them."""
    return dict(shape) if isinstance(shape, Mapping) else parse_shapes(shape)


def materialise_each(
    source: Source,
    bindings: Mapping[str, Binding],
    pipeline: Pipeline | None,
    limit: int | None,
    skip_bad: bool,
    listener: Listener,
) -> dict[str, Materialised]:
    """The samples of `source` as each model takes them, by role.

    Raises:
        UsageError: they do not fit, or random ones would not be the same for both models.
    """

    def progress(done: int, total: int) -> None:
        listener("inputs", "preprocess", done, total)

    made = {
        role: materialise(source, binding, pipeline, cache_dir(), limit=limit, skip_bad=skip_bad, progress=progress)
        for role, binding in bindings.items()
    }
    if isinstance(source, RandomSource):
        _refuse_unlike(made)
    return made


def describe(source: str, made: Mapping[str, Materialised], notes: Sequence[str]) -> dict[str, Any]:
    """What the run's document says of the inputs.

    Raises:
        UsageError: the two models would not get the same samples.
    """
    names = made["model"].names
    for role, other in made.items():
        if other.names != names:
            raise UsageError(
                f"--{role} takes {len(other.names)} of these samples, --model {len(names)}: give inputs that fit both"
            )
    return {
        "source": source,
        "names": list(names),
        "digest": {role: inputs.digest for role, inputs in made.items()},
        "pipeline": {role: inputs.pipeline for role, inputs in made.items()},
        "skipped": [list(item) for item in made["model"].skipped],
        "notes": sorted({*notes, *(note for inputs in made.values() for note in inputs.notes)}),
    }


def _refuse_unlike(made: Mapping[str, Materialised]) -> None:
    """Random samples are drawn for each model's own inputs, which are only the same where the models ask alike."""
    if "against" not in made or made["against"].digest == made["model"].digest:
        return
    arrays = [dict(sorted(inputs.arrays.items())) for inputs in made.values()]
    named_alike = list(arrays[0]) == list(arrays[1]) or len(arrays[0]) == len(arrays[1]) == 1
    if named_alike and all(map(_equal, arrays[0].values(), arrays[1].values())):
        return
    raise UsageError(
        "--model and --against differ in their inputs' names, shapes or ranges, so random inputs would not be the same "
        "for both: give --inputs that both take"
    )


def _equal(first: Path, second: Path) -> bool:
    """Whether two arrays [N, …] hold the same numbers, as far as the less precise one can."""
    x, y = (np.load(path, mmap_mode="r", allow_pickle=False) for path in (first, second))
    return x.shape == y.shape and all(
        np.array_equal(a.astype(b.dtype), b) or np.array_equal(a, b.astype(a.dtype)) for a, b in zip(x, y, strict=True)
    )
