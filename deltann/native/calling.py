"""What an object is called with, and what of that which it returns is an output."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from deltann.errors import UsageError

_ALONE = "input"
_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def arguments(function: Callable[..., Any], given: Sequence[str]) -> tuple[str, ...]:
    """The parameters to feed, in their order: those without a default, those `given`; with `*args`, all given.

    Raises:
        UsageError: a name is given that is no parameter.
    """
    parameters = _parameters(function)
    named = [parameter.name for parameter in parameters if parameter.kind not in _VARIABLE]
    wanted = [p.name for p in parameters if p.name in named and (p.name in given or p.default is p.empty)]
    more = [name for name in given if name not in named]
    if more and not any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        raise UsageError(f"'{more[0]}' is no parameter of the model, which takes: {', '.join(named) or 'nothing'}")
    return (*wanted, *more) or (_ALONE,)


def positional(function: Callable[..., Any], names: Sequence[str]) -> Callable[..., Any]:
    """`function`, to be called with the values of the parameters `names` in that order."""
    by_keyword = {p.name for p in _parameters(function) if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}

    def call(*values: Any) -> Any:
        if by_keyword.issuperset(names):
            return function(**dict(zip(names, values, strict=True)))
        return function(*values)

    return call


def leaves(returned: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """What mappings, tuples and lists hold, however deep, each with its path (`logits`, `0.1`); None is no output."""
    if isinstance(returned, Mapping):
        items = [(str(key), value) for key, value in returned.items()]
    elif isinstance(returned, tuple | list):
        items = [(str(number), value) for number, value in enumerate(returned)]
    else:
        if returned is not None:
            yield path, returned
        return
    for key, value in items:
        yield from leaves(value, f"{path}.{key}" if path else key)


def output_names(paths: Sequence[str], inputs: Sequence[str]) -> tuple[str, ...]:
    """Names for outputs by their paths, which neither change with a framework's version nor meet an input's."""
    stem = "output"
    while any(name == stem or name.startswith(f"{stem}_") for name in inputs):
        stem += "_"
    if len(paths) == 1 and not paths[0].strip("0."):
        return (stem,)
    names = tuple(f"{stem}_{path}" if path[:1].isdigit() or path in inputs else path for path in paths)
    distinct = len({*names, *inputs}) == len(names) + len(inputs) and all(names)
    return names if distinct else tuple(f"{stem}_{number}" for number in range(len(paths)))


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):  # some of what is compiled tells nothing: fed as given
        return [inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)]
