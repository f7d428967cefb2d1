"""Putting the page together: templates filled in, style and script inlined, nothing from anywhere else."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from deltann.errors import Unavailable
from deltann.report import words
from deltann.report.html.definitions import GROUPS

if TYPE_CHECKING:
    import jinja2

    from deltann.report.contents import Contents

LARGEST = 4_900_000
"""Bytes of the whole page; what the samples to look at may take is what the rest leaves of it."""
FILTERS = ("block", "count", "mebibytes", "number", "percent", "score", "shown", "signed", "three")


def check() -> None:
    """Raise Unavailable where the page cannot be made here: it draws by matplotlib, which is an extra."""
    if find_spec("matplotlib") is None:
        raise Unavailable("the HTML report needs matplotlib: pip install 'deltann[html]'")


def policy() -> str:
    """The page's Content-Security-Policy: its own script by digest, its own style, pictures it holds; no network."""
    digest = base64.b64encode(hashlib.sha256(_asset("report.js").encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def to_html(contents: Contents) -> str:
    """The page, under 5 MB; the same for the same contents. It encodes as UTF-8 whatever names the run holds.

    Raises:
        Unavailable: matplotlib is not installed.
    """
    check()
    from deltann.report.html.disputes import pick

    environment, values = _environment(), _values(contents)
    page, card = environment.get_template("page.jinja"), environment.get_template("card.jinja")
    shared = {"letters": values["letters"], "several": len(contents.result.classes) > 1}
    size = len(page.render(values).encode())
    found = pick(contents.result, values["letters"], lambda one: card.render(shared | {"card": one}), LARGEST - size)
    return page.render(values | {"disputes": found})


def _values(contents: Contents) -> dict[str, Any]:
    """Everything that the templates show but the samples to look at, whose room depends on it."""
    # Here, since some of them import matplotlib, which takes most of a second and may not be there.
    from deltann.report.html.baseline import baseline
    from deltann.report.html.classes import classes
    from deltann.report.html.environments import environments, identical
    from deltann.report.html.errors import errors
    from deltann.report.html.evidence import evidence
    from deltann.report.html.overview import overview
    from deltann.report.html.pairs import pairs
    from deltann.report.html.times import times
    from deltann.report.matrix import matrix

    result = contents.result
    letters = words.letters(result)
    return {
        "contents": contents,
        "result": result,
        "letters": letters,
        "overview": overview(contents),
        "matrix": matrix(result),
        "times": times(contents),
        "baseline": baseline(contents.drift) if contents.drift else None,
        "disputes": None,
        "pairs": pairs(result),
        "errors": errors(result, letters),
        "classes": classes(result),
        "environments": environments(result),
        "identical": identical(result),
        "evidence": evidence(result, letters),
        "definitions": GROUPS,
        "again": f"deltann report {shlex.quote(str(result.run.folder))}",
        "policy": policy(),
        "style": _asset("report.css"),
        "script": _asset("report.js"),
    }


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.PackageLoader("deltann.report.html"),
    )
    filters: Mapping[str, Any] = {name: getattr(words, name) for name in FILTERS}
    environment.filters |= filters
    environment.globals |= {"unknown": words.UNKNOWN, "marks": words.MARKS, "tones": words.TONES}
    return environment


def _asset(name: str) -> str:
    return files("deltann.report.html").joinpath(name).read_text("utf-8")
