"""The attributes of RNN, GRU and LSTM that every table reads alike: directions, and activations with their defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_DEFAULTS: dict[str, tuple[float, ...]] = {
    # What (alpha, beta) are where the node does not say: the defaults of the operators of the same names.
    "tanh": (),
    "sigmoid": (),
    "relu": (),
    "softsign": (),
    "softplus": (),
    "leakyrelu": (0.01,),
    "elu": (1.0,),
    "thresholdedrelu": (1.0,),
    "hardsigmoid": (0.2, 0.5),
    "affine": (1.0, 0.0),
    "scaledtanh": (1.0, 1.0),
}


@dataclass(frozen=True)
class Activation:
    """A function by its name in lower case, with the parameters that it takes (alpha, then beta)."""

    name: str
    parameters: tuple[float, ...]


def reversals(attributes: Mapping[str, Any]) -> list[bool]:
    """Whether time runs backwards, for each direction of the node."""
    return {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[attributes["direction"]]


def activations(attributes: Mapping[str, Any], default: Sequence[str]) -> list[list[Activation]]:
    """The activations of each direction; `default` are those of one direction where the node names none."""
    directions = len(reversals(attributes))
    names = attributes.get("activations") or list(default) * directions
    given = [iter(attributes.get(f"activation_{letter}") or ()) for letter in ("alpha", "beta")]
    # The lists have an item for each activation that takes one, in order; an unknown name takes none.
    chosen = [
        Activation(
            name.lower(),
            tuple(next(values, own) for values, own in zip(given, _DEFAULTS.get(name.lower(), ()), strict=False)),
        )
        for name in names
    ]
    return [chosen[i * len(default) : (i + 1) * len(default)] for i in range(directions)]
