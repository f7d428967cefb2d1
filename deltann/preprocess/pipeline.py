"""A pipeline as declared data: from and to plain values, TOML and the presets that ship with the package."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from deltann.errors import UsageError, one_line
from deltann.preprocess.steps import STEPS, Colour, Crop, Normalise, Resize, Step

_PRESETS = resources.files("deltann.preprocess") / "presets"
_RANKS = {"decode": 0, "resize": 1, "crop": 1, "colour": 1, "normalise": 2, "layout": 3, "dtype": 4}
_ORDER = "decode, then resize, crop and colour as wanted, then normalise, layout, dtype"

S = TypeVar("S", bound=Step)


@dataclass(frozen=True)
class Pipeline:
    """Named steps in the order they run: `decode`, the steps on 8-bit images, `normalise`, `layout`, `dtype`.

    Those on images (resize, crop, colour) come in any order and number, `colour` once; the others at most once.
    Steps left out are the default ones: RGB, no normalisation, the layout and type of the model's input.

    Raises:
        UsageError: steps in an order, or of a number, that cannot run.
    """

    name: str
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        names = [step.name for step in self.steps]
        ranks = [_RANKS[name] for name in names]
        if ranks != sorted(ranks):
            raise UsageError(f"the order of {', '.join(names)} cannot run; the order is {_ORDER}")
        for name in names:
            if names.count(name) > 1 and name not in (Resize.name, Crop.name):
                raise UsageError(f"{name} is declared twice: declare it once")
        normalise = self.find(Normalise, Normalise())
        if self.find(Colour, Colour()).order == "L" and len(normalise.mean + normalise.std) > 2:
            raise UsageError("normalise has values for 3 channels, but colour leaves 1 (L): give one value")

    def find(self, kind: type[S], default: S) -> S:
        """The step of that kind, or `default` where the pipeline has none."""
        return next((step for step in self.steps if isinstance(step, kind)), default)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON or TOML; `from_dict` reads it back."""
        return {"steps": [{"step": s.name, **{f.name: getattr(s, f.name) for f in fields(s)}} for s in self.steps]}

    @classmethod
    def from_dict(cls, name: str, data: Mapping[str, Any], origin: str = "") -> Pipeline:
        """Read `{"steps": [{"step": "resize", "mode": "exact", …}, …]}`.

        Raises:
            UsageError: an unknown key, step or value; the message begins with `origin` and lists what exists.
        """
        origin = origin or f"the pipeline '{name}'"
        if set(data) != {"steps"} or not isinstance(data["steps"], list):
            keys = ", ".join(map(repr, data)) or "nothing"
            raise UsageError(f"{origin}: holds {keys}; a pipeline is a list of [[steps]] and nothing else")
        steps = []
        for number, row in enumerate(data["steps"], 1):
            kind = row.get("step") if isinstance(row, dict) else None
            if not isinstance(kind, str) or kind not in STEPS:
                raise UsageError(f"{origin}: step {number} is {kind!r}; 'step' is one of {', '.join(STEPS)}")
            known = [field.name for field in fields(STEPS[kind])]
            for key in row:
                if key != "step" and key not in known:
                    raise UsageError(f"{origin}: step {number} ({kind}) has no '{key}'; it has {', '.join(known)}")
            try:
                steps.append(STEPS[kind](**{key: value for key, value in row.items() if key != "step"}))
            except UsageError as error:
                raise UsageError(f"{origin}: step {number} ({kind}): {error}") from error
        try:
            return cls(name, tuple(steps))
        except UsageError as error:
            raise UsageError(f"{origin}: {error}") from error

    def to_toml(self) -> str:
        """The pipeline as a file that `load_pipeline` reads."""
        blocks = []
        for row in self.to_dict()["steps"]:
            # JSON's spelling of these numbers, booleans, lists and plain words is TOML's too.
            blocks.append("[[steps]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in row.items()))
        return "\n".join(blocks) or "steps = []\n"


def preset_names() -> list[str]:
    """The presets that ship with the package, sorted."""
    return sorted(Path(item.name).stem for item in _PRESETS.iterdir() if item.name.endswith(".toml"))


def load_pipeline(name_or_path: str | Path) -> Pipeline:
    """A preset by its name, or a TOML file.

    Raises:
        UsageError: neither a preset nor a file (the message lists the presets), not TOML, or not a pipeline.
    """
    text = str(name_or_path)
    if text in preset_names():
        return Pipeline.from_dict(text, tomllib.loads((_PRESETS / f"{text}.toml").read_text("utf-8")), text)
    path = Path(name_or_path)
    if not path.is_file():
        raise UsageError(
            f"--preprocess {text}: neither a preset nor a file; presets: {', '.join(preset_names())}; "
            "or write a .toml file"
        )
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path}: cannot be read as TOML: {one_line(str(error))}") from error
    return Pipeline.from_dict(path.stem, data, str(path))
