"""What pytest says of comparisons at its end."""

from __future__ import annotations

from collections.abc import Sequence


def lines(told: Sequence[tuple[str, str, str]], folder: str | None) -> list[str]:
    """From (test, what, value) of every test, each once; nothing where there is nothing to say.

    `folder`: that of --deltann-report, if it is given.
    """
    untimed = {test: value for test, what, value in told if what == "deltann_untimed"}
    runs = sum(what == "deltann_run" for _, what, _ in told)
    no_html = sorted({value for _, what, value in told if what == "deltann_no_html"})
    found = [f"{_count(len(untimed), 'test')} not timed: {why}" for why in sorted(set(untimed.values()))]
    if folder is not None:
        found += [f"{_count(runs, 'run')} with reports in {folder}", *no_html]
    return found


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
