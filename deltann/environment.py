"""One setting of the computational environment, and its spelling.

Grammar (one canonical spelling; `str(Environment.parse(text))` is it):

    NAME[-VARIANT…][@VERSION][:DEVICE][[key=value,…]]

`torch`, `ort-O1`, `ort@1.20.1`, `torch-compile:cuda`, `ort[disabled_optimizers=ConvBNFusion+GeluFusion,threads=1]`.
A value that is a list joins its items with `+`, since the comma parts options.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from deltann.errors import UsageError

_SPEC = re.compile(
    r"(?P<backend>[a-z][a-z0-9_]*)"
    r"(?P<variants>(?:-[A-Za-z0-9_]+)*)"
    r"(?:@(?P<version>[A-Za-z0-9][A-Za-z0-9._+!]*))?"
    r"(?::(?P<device>[a-z][a-z0-9_-]*(?::[0-9]+)?))?"
    r"(?:\[(?P<options>[^\[\]]*)\])?"
)
_LONGEST_NAME = 120
_OPTION = re.compile(r"(?P<key>[a-z][a-z0-9_]*)=(?P<value>[^\s,=\[\]]+)")


@dataclass(frozen=True)
class Environment:
    """A parsed spec. `options` are sorted by key; values are the strings as written."""

    backend: str
    variants: tuple[str, ...] = ()
    version: str | None = None
    device: str | None = None
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Environment:
        """Read a spec.

        Raises:
            UsageError: the text does not follow the grammar, or names a variant or an option twice.
        """
        match = _SPEC.fullmatch(text.strip())
        if match is None:
            raise UsageError(
                f"cannot read the backend spec '{text}': write NAME[-VARIANT][@VERSION][:DEVICE][[key=value,…]], "
                "such as ort, tvm-O3 or torch[precision=float64]"
            )
        variants = tuple(match["variants"].split("-")[1:])
        options = []
        for part in (match["options"] or "").split(",") if match["options"] else ():
            option = _OPTION.fullmatch(part.strip())
            if option is None:
                raise UsageError(f"cannot read the option '{part}' of '{text}': write key=value")
            options.append((option["key"], option["value"]))
        for kind, names in (("variant", variants), ("option", tuple(key for key, _ in options))):
            for name in names:
                if names.count(name) > 1:
                    raise UsageError(f"'{text}' names the {kind} {name} twice: name it once")
        return cls(match["backend"], variants, match["version"], match["device"], tuple(sorted(options)))

    def __str__(self) -> str:
        text = "-".join((self.backend, *self.variants))
        text += f"@{self.version}" if self.version else ""
        text += f":{self.device}" if self.device else ""
        if self.options:
            text += "[" + ",".join(f"{key}={value}" for key, value in self.options) + "]"
        return text

    @property
    def slug(self) -> str:
        """A name for a folder or a file, another for each spec: percent-encoded, and cut with a digest if long."""
        name = quote(str(self), safe="@=,+!").replace("~", "%7E")
        name = name.replace("%5B", "(").replace("%5D", ")").replace("%3A", "~")
        if len(name) <= _LONGEST_NAME:
            return name
        return f"{name[:_LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def split_specs(text: str) -> list[str]:
    """Split `a,b[x=1,y=2],c` at the commas outside brackets; empty items are dropped."""
    return [item.strip() for item in re.split(r",(?![^\[]*\])", text) if item.strip()]


def parse_all(specs: str | Iterable[str]) -> tuple[Environment, ...]:
    """Parse a comma-separated text, or several such texts.

    Raises:
        UsageError: a spec cannot be read, none is given, or one stands twice.
    """
    texts = [specs] if isinstance(specs, str) else list(specs)
    environments = tuple(Environment.parse(item) for text in texts for item in split_specs(text))
    if not environments:
        raise UsageError("no backend is named: name some, such as --backends torch,ort,tvm-O3")
    for environment in environments:
        if environments.count(environment) > 1:
            raise UsageError(f"the environment '{environment}' is named twice: name it once")
    return environments
