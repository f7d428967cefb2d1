"""`--map-outputs OLD=NEW`: which output of one model is which of the other, and which of its classes count."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from deltann.errors import UsageError
from deltann.model import Model

_KEPT = re.compile(r"(?P<name>.+)\[(?P<start>\d*):(?P<stop>\d*)\]")


@dataclass(frozen=True)
class OutputMap:
    """`renames`: an output of the first model → its name in the second one.

    `kept`: role → output → (start, stop) of the second dimension that counts, such as (1, None) where row 0 is a
    background class that the other model lacks; labels and comparisons see no others.
    """

    renames: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, Mapping[str, tuple[int, int | None]]] = field(default_factory=dict)

    def view(self, role: str, model: Model) -> Model:
        """`model` with the shapes of its outputs as they are compared."""
        kept = self.kept.get(role, {})
        outputs = []
        for spec in model.outputs:
            if spec.name in kept and spec.shape is not None and isinstance(size := spec.shape[1], int):
                start, stop = kept[spec.name]
                spec = replace(spec, shape=(spec.shape[0], (stop or size) - start, *spec.shape[2:]))
            outputs.append(spec)
        return replace(model, outputs=tuple(outputs))


def parse_output_map(given: Mapping[str, str] | Sequence[str], models: Mapping[str, Model]) -> OutputMap:
    """Read `{old: new}` or `["old=new"]`; either side may end in `[START:STOP]`, the classes that count.

    Raises:
        UsageError: no second model, an output that is not there or named twice, or classes that it has not.
    """
    if not given:
        return OutputMap()
    if "against" not in models:
        raise UsageError("--map-outputs matches the outputs of two models: give the second with --against")
    pairs = list(given.items()) if isinstance(given, Mapping) else [_split(text) for text in given]
    renames: dict[str, str] = {}
    kept: dict[str, dict[str, tuple[int, int | None]]] = {}
    for pair in pairs:
        names = []
        for role, text in zip(models, pair, strict=True):
            name, classes = _read(text, models[role])
            names.append(name)
            if classes is not None:
                kept.setdefault(role, {})[name] = classes
        old, new = names
        if old in renames or new in renames.values():
            raise UsageError(f"--map-outputs {'='.join(pair)}: write OLD=NEW, each OLD and each NEW once")
        renames[old] = new
    return OutputMap(renames, kept)


def _split(text: str) -> tuple[str, str]:
    old, separator, new = text.partition("=")
    if not (separator and old and new):
        raise UsageError(f"--map-outputs {text}: write OLD=NEW, each OLD and each NEW once")
    return old, new


def _read(text: str, model: Model) -> tuple[str, tuple[int, int | None] | None]:
    specs = {spec.name: spec for spec in model.outputs}
    if text in specs:
        return text, None
    match = _KEPT.fullmatch(text)
    name = match["name"] if match else text
    if name not in specs:
        raise UsageError(f"--map-outputs: {model.name} has no output '{name}'; its outputs: {', '.join(specs)}")
    assert match is not None  # else the name were the text, which no output has
    start, stop = int(match["start"] or 0), int(match["stop"]) if match["stop"] else None
    shape = specs[name].shape
    size = shape[1] if shape is not None and len(shape) > 1 else None
    if not isinstance(size, int):
        raise UsageError(
            f"--map-outputs {text}: {specs[name]} has no second dimension of a known size to take them from"
        )
    if not start < (size if stop is None else stop) <= size:
        raise UsageError(f"--map-outputs {text}: name classes from 0 to {size}, which {specs[name]} has")
    return name, (start, stop)
