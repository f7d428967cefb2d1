"""How samples become runs: which dimension is the batch, how long it is, and what one sample's row looks like."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from deltann.errors import UsageError
from deltann.model import Dim, Model, TensorSpec

_SHAPE = re.compile(r"(?:(?P<name>.+)=)?(?P<dims>-?\d+(?:x-?\d+)*)")


@dataclass(frozen=True)
class Binding:
    """A model whose inputs are static, and how samples are fed to it.

    *Batched* (`batched`): a run takes `rows` samples, one a row of each input's first dimension, and gives as many
    rows of each output (the graph does not promise that where an output's first dimension is symbolic, so whoever
    runs it checks). *Whole* (not `batched`): a sample is a full set of inputs, and `rows` is 1.
    The samples of an input are stored as one array [N, *row_shape]; N need not be a multiple of `rows`, since the
    last batch is filled up by repeating its last sample.
    """

    model: Model
    rows: int
    batched: bool
    notes: tuple[str, ...] = ()

    def row_shape(self, name: str) -> tuple[int, ...]:
        """The shape of one sample of the input `name`."""
        spec = next(spec for spec in self.model.inputs if spec.name == name)
        return spec.static_shape[1:] if self.batched else spec.static_shape


def parse_shapes(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Read texts such as `input=1x3x224x224`; without a name (a model of one input) the key is empty.

    Raises:
        UsageError: a text cannot be read, holds a size below 1, or names an input a second time.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        match = _SHAPE.fullmatch(text.strip())
        if match is None:
            raise UsageError(f"cannot read the shape '{text}': write --shape NAME=1x3x224x224")
        name, shape = match["name"] or "", tuple(int(part) for part in match["dims"].split("x"))
        _refuse_sizes_below_one(text, shape)
        if name in shapes:
            raise UsageError(f"--shape gives '{name or text}' twice: give each input once")
        shapes[name] = shape
    return shapes


def bind(model: Model, shapes: Mapping[str, tuple[int, ...]], batch_size: int) -> Binding:
    """Make every input of `model` static.

    Batched are models whose inputs all have a first dimension that is dynamic (it becomes `batch_size`, or what
    `shapes` gives), or the same fixed size, and whose outputs' first dimensions do not contradict that; all others
    run whole. `shapes` gives the remaining dynamic dimensions; a symbol given for one input holds for all.

    Raises:
        UsageError: no inputs; `batch_size` below 1; an unknown input name; a rank or a fixed dimension contradicted;
            a dynamic dimension that nothing gives.
    """
    if batch_size < 1:
        raise UsageError(f"a batch of {batch_size} samples is none: give --batch-size at least 1")
    if not model.inputs:
        raise UsageError(f"{model.name} has no inputs, so there is nothing to feed it; export it with its input")
    given = _given(model, shapes)
    symbols = _symbols(model, given)
    inputs = tuple(_substitute(spec, given, symbols) for spec in model.inputs)
    rows, note = _rows(model, inputs, batch_size)
    if rows is not None:
        symbols |= {spec.shape[0]: rows for spec in inputs if spec.shape and isinstance(spec.shape[0], str)}
        inputs = tuple(replace(spec, shape=(rows, *(spec.shape or ())[1:])) for spec in inputs)
        inputs = tuple(_substitute(spec, {}, symbols) for spec in inputs)
    _refuse_dynamic(model, inputs)
    bound = model.bind({spec.name: spec.static_shape for spec in inputs})
    return Binding(bound, rows or 1, rows is not None, (note,) if note else ())


def _refuse_sizes_below_one(text: str, shape: tuple[int, ...]) -> None:
    if min(shape, default=1) < 1:
        raise UsageError(f"the shape '{text}' has a size below 1: every dimension must be at least 1")


def _given(model: Model, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    specs = {spec.name: spec for spec in model.inputs}
    known = "; ".join(str(spec) for spec in model.inputs)
    given = {}
    for key, shape in shapes.items():
        name = key or (model.inputs[0].name if len(specs) == 1 else "")
        text = "x".join(map(str, shape))
        if not name:
            raise UsageError(f"--shape {text} names no input and {model.name} has several: write NAME={text}; {known}")
        if name not in specs:
            raise UsageError(f"--shape names the input '{name}', which {model.name} has not; its inputs: {known}")
        _refuse_sizes_below_one(text, shape)
        declared = specs[name].shape
        if declared is not None and len(declared) != len(shape):
            raise UsageError(f"--shape {name}={text} has {len(shape)} dimensions; {model.name} takes {specs[name]}")
        if any(isinstance(dim, int) and dim != size for dim, size in zip(declared or (), shape, strict=False)):
            raise UsageError(f"--shape {name}={text} contradicts a fixed dimension; {model.name} takes {specs[name]}")
        given[name] = shape
    return given


def _symbols(model: Model, given: Mapping[str, tuple[int, ...]]) -> dict[Dim, int]:
    symbols: dict[Dim, int] = {}
    for spec in model.inputs:
        for dim, size in zip(spec.shape or (), given.get(spec.name, ()), strict=False):
            if isinstance(dim, str) and symbols.setdefault(dim, size) != size:
                raise UsageError(
                    f"--shape gives '{dim}' of {model.name} as {symbols[dim]} and as {size}: give one size"
                )
    return symbols


def _substitute(spec: TensorSpec, given: Mapping[str, tuple[int, ...]], symbols: Mapping[Dim, int]) -> TensorSpec:
    if spec.name in given:
        return replace(spec, shape=given[spec.name])
    return replace(spec, shape=None if spec.shape is None else tuple(symbols.get(dim, dim) for dim in spec.shape))


def _rows(model: Model, inputs: tuple[TensorSpec, ...], batch_size: int) -> tuple[int | None, str]:
    """The samples a run takes (None: the model runs whole), and a remark."""
    if not all(spec.shape for spec in inputs) or any(spec.shape == () for spec in model.outputs):
        return None, ""
    dynamic = [not (spec.shape and isinstance(spec.shape[0], int)) for spec in model.inputs]
    sizes = {spec.shape[0] for spec in inputs if spec.shape and isinstance(spec.shape[0], int)}
    made = {spec.shape[0] for spec in model.outputs if spec.shape and isinstance(spec.shape[0], int)}
    if len(sizes | made) > 1 or (any(dynamic) and not all(dynamic)):
        return None, ""
    if sizes:
        (rows,) = sizes
        source = "given by --shape" if all(dynamic) else "fixed by the model"
        return (
            rows,
            "" if rows == batch_size else f"{model.name}: a batch is {rows}, {source}; --batch-size is not used",
        )
    if made - {1}:
        return None, ""
    if made and batch_size != 1:
        return 1, f"{model.name}: an output holds 1 row whatever the batch, so a batch is 1; --batch-size is not used"
    return batch_size, ""


def _refuse_dynamic(model: Model, inputs: tuple[TensorSpec, ...]) -> None:
    for spec in inputs:
        if spec.shape is None:
            raise UsageError(
                f"{model.name}: even the rank of '{spec.name}' is open: give --shape {spec.name}=1x3x224x224"
            )
        for index, dim in enumerate(spec.shape):
            if not isinstance(dim, int):
                likely = 224 if len(spec.shape) == 4 else 128
                sizes = (d if isinstance(d, int) else 1 if i == 0 else likely for i, d in enumerate(spec.shape))
                example = f"--shape {spec.name}={'x'.join(map(str, sizes))}"
                called = f" ('{dim}')" if dim else ""
                raise UsageError(
                    f"{model.name}: dimension {index}{called} of the input '{spec.name}' is open: give it, such as "
                    + example
                )
            if dim < 1:
                raise UsageError(f"{model.name}: the input {spec} holds no elements: there is nothing to compare")
