"""What there is to say of a run, one thing at a time and most serious first: for annotations, summaries, comments."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from deltann.acceptance import ACCEPTED, accepted, passes
from deltann.comparison.attribution import Sure
from deltann.comparison.noise import describe
from deltann.comparison.precision import declared
from deltann.comparison.verdict import Verdict
from deltann.outcome import Status
from deltann.report.text import printable
from deltann.timing.verdict import TimeVerdict

if TYPE_CHECKING:
    from deltann.comparison.attribution import Blame
    from deltann.judging import Pair
    from deltann.report.contents import Contents
    from deltann.store import CellRecord
    from deltann.timing.stored import PairTime

MOST_NAMED = 3
MOST_REASONS = 6
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?")


class Level(StrEnum):
    """ERROR: it is wrong. WARNING: it is unknown whether it is. NOTICE: what a reader should know."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


@dataclass(frozen=True)
class Finding:
    """One thing to say. `title` is one line, `text` one or more, all of printable characters; both may hold what
    strangers named, which is for whoever shows it to escape.

    `cells`: whom it is about, as `str(Cell)`, the one at fault first where that is known. `output`: the one output it
    is about; None where there are several, or none.
    """

    level: Level
    title: str
    text: str
    cells: tuple[str, ...] = ()
    output: str | None = None


def _finding(
    level: Level, title: str, lines: Iterable[str], cells: Sequence[str] = (), output: str | None = None
) -> Finding:
    """A line break in a name must not make a line of its own."""
    return Finding(level, printable(title), "\n".join(map(printable, lines)), tuple(cells), output)


def findings(contents: Contents) -> tuple[Finding, ...]:
    """All there is to say, most serious first.

    Within a level: missing parts of the run, differences (those of whom the blame is sure first), cells without
    outputs, pairs that could not be judged, times, nondeterminism, drift from the baseline, what engines did unasked.
    A difference, failure or slowdown that the baseline accepts is a notice.
    """
    missing, lost = contents.result.missing, _lost(contents)
    found = [
        *([_finding(Level.ERROR, "the run is incomplete", missing, lost)] if missing else []),
        *_differences(contents),
        *_failures(contents),
        *_doubts(contents),
        *_times(contents),
        *_noise(contents),
        *_drift(contents),
        *_engines(contents),
    ]
    order = list(Level)
    return tuple(sorted(found, key=lambda finding: order.index(finding.level)))


def command(contents: Contents) -> str:
    """The one command that explains more, to be pasted into a shell."""
    return f"deltann report {shlex.quote(str(contents.result.run.folder))} --html report.html"


def _explained(reasons: Sequence[tuple[str, str]], most: int = MOST_REASONS) -> list[str]:
    """A line each (whom it is of, reason); those that only differ in their numbers share one, the rest are counted."""
    alike: dict[str, list[tuple[str, str]]] = {}
    for name, reason in reasons:
        alike.setdefault(_NUMBER.sub("#", reason), []).append((name, reason))
    lines = []
    for shared in list(alike.values())[:most]:
        name, reason = shared[0]
        alike_too = f" ({_count(len(shared) - 1, 'more pair')} alike)" if len(shared) > 1 else ""
        lines.append(f"{name}: {reason}{alike_too}")
    more = len(alike) - most
    return [*lines, *([f"… and {_count(more, 'more reason')}"] if more > 0 else [])]


def _differences(contents: Contents) -> Iterator[Finding]:
    result = contents.result
    differ = [pair for pair in result.compared if pair.judged and pair.judgement.verdict is Verdict.DIFFER]
    known = [pair for pair in differ if accepted(contents, str(pair.candidate), str(pair.reference))]
    unknown = [pair for pair in differ if pair not in known]
    blamed = [name for blame in result.blamed if blame.sure is not Sure.UNKNOWN for name in blame.cells]
    by_reference = result.criteria.reference is not None or len(result.run.models) > 1
    for level, pairs in ((Level.ERROR, unknown), (Level.NOTICE, known)):
        while pairs:
            odd = next((name for name in blamed if any(name in _sides(pair) for pair in pairs)), None)
            odd = odd or _most_frequent(pairs, by_reference)
            its = [pair for pair in pairs if odd in _sides(pair)]
            pairs = [pair for pair in pairs if odd not in _sides(pair)]
            others = [side for pair in its for side in _sides(pair) if side != odd]
            title = f"{odd} differs from {_names(others)}" + (f" ({ACCEPTED})" if level is Level.NOTICE else "")
            found = [item for pair in its for item in pair.judgement.outputs.items()]
            outputs = {name for name, judgement in found if judgement.verdict is Verdict.DIFFER}
            why = [who_is_wrong(blame) for blame in result.blamed if odd in blame.cells and odd in blamed]
            only = next(iter(outputs)) if len(outputs) == 1 else None
            yield _finding(level, title, [*why, *_explained(_reasons(its))], (odd, *others), only)


def _most_frequent(pairs: Sequence[Pair], by_reference: bool) -> str:
    """The cell that most of the pairs have in common; of as many a candidate, and with a reference always one."""
    candidates = [str(pair.candidate) for pair in pairs]
    references = [] if by_reference else [str(pair.reference) for pair in pairs]
    return Counter([*candidates, *references]).most_common(1)[0][0]


def who_is_wrong(blame: Blame) -> str:
    """`tvm is wrong, by arbiter alone: …`."""
    names = ", ".join(blame.names)
    told = "who is wrong cannot be told" if blame.sure is Sure.UNKNOWN else f"wrong, by {blame.sure}"
    return f"{names}: {told}: {blame.reason}"


def _lost(contents: Contents) -> list[str]:
    """The cells that have not run, or whose outputs are gone, of which `missing` tells."""
    cells = [(str(record.cell), record.outcome) for record in contents.result.records]
    lines = contents.result.missing
    return [cell for cell, how in cells if how.status is Status.NOT_RUN and f"{cell}: {how.reason}" in lines]


def _failures(contents: Contents) -> Iterator[Finding]:
    lost = _lost(contents)
    for record in contents.result.records:
        cell, outcome = str(record.cell), record.outcome
        if outcome.status is Status.OK or cell in lost:
            continue
        warned = outcome.status in (Status.UNSUPPORTED, Status.UNAVAILABLE)
        known = accepted(contents, cell)
        level = Level.NOTICE if known else Level.WARNING if warned else Level.ERROR
        title = f"{cell}: {how_it_ended(record)}" + (f" ({ACCEPTED})" if known else "")
        yield _finding(level, title, [outcome.reason or "no reason is recorded"], (cell,))


def how_it_ended(record: CellRecord) -> str:
    """`FAILED CRASH while RUN`."""
    outcome = record.outcome
    stage = f"while {outcome.stage}" if outcome.stage and outcome.symptom else None
    return " ".join(filter(None, (outcome.status, outcome.symptom, stage)))


def _doubts(contents: Contents) -> Iterator[Finding]:
    result = contents.result
    judged = [pair for pair in result.compared if pair.judged]
    open_ = [pair for pair in judged if pair.judgement.verdict is Verdict.INCONCLUSIVE]
    for level, known in ((Level.WARNING, False), (Level.NOTICE, True)):
        pairs = [pair for pair in open_ if accepted(contents, str(pair.candidate), str(pair.reference)) is known]
        if pairs:
            title = f"cannot tell whether {_pair(pairs[0])} agree" + _more(len(pairs) - 1, "pair")
            title += f" ({ACCEPTED})" if known else ""
            cells = dict.fromkeys(side for pair in pairs for side in _sides(pair))
            yield _finding(level, title, _explained(_reasons(pairs)), tuple(cells))
    if all(pair.judgement.verdict is Verdict.NOT_COMPARED for pair in judged):
        why = [(_pair(p), f"not judged, since {p.left_out}" if p.left_out else p.judgement.reasons[0])
               for p in result.compared]  # fmt: skip
        lines = _explained(why) if why else ["one environment has nothing to be compared with"]
        level = Level.NOTICE if passes(contents) else Level.WARNING
        yield _finding(level, "nothing could be judged", lines, [str(cell) for cell in result.run.cells])


def _times(contents: Contents) -> Iterator[Finding]:
    timing = contents.timing
    if timing is None:
        return
    levels = {TimeVerdict.REGRESSION: Level.ERROR, TimeVerdict.INCONCLUSIVE: Level.WARNING}
    for pair in sorted(timing.pairs, key=lambda pair: pair.verdict is not TimeVerdict.REGRESSION):
        known = accepted(contents, pair.candidate, pair.reference, timed=True)
        names = (pair.candidate, pair.reference)
        if differs_unjudged(contents, pair):
            title = f"{pair.candidate} is timed beside {pair.reference}, from which its outputs differ"
            yield _finding(Level.ERROR, title, ["how fast other answers are says nothing"], names)
        if pair.verdict in levels:
            slower = f"slower than {pair.reference}" if pair.verdict is TimeVerdict.REGRESSION else "time not known"
            title = f"{pair.candidate}: {slower}" + (f" ({ACCEPTED})" if known else "")
            yield _finding(Level.NOTICE if known else levels[pair.verdict], title, pair.reasons, names)
    ran = {str(record.cell) for record in contents.result.records if record.outcome.status is Status.OK}
    for cell in timing.cells:
        if cell.name in ran and cell.outcome.status is not Status.OK:
            ended = " ".join(filter(None, (cell.outcome.status, cell.outcome.symptom)))
            why = [cell.outcome.reason or "no reason is recorded"]
            pairs = [pair for pair in timing.pairs if cell.name in (pair.candidate, pair.reference)]
            known = bool(pairs) and all(accepted(contents, p.candidate, p.reference, timed=True) for p in pairs)
            title = f"{cell.name}: {ended} while it was timed" + (f" ({ACCEPTED})" if known else "")
            yield _finding(Level.NOTICE if known else Level.ERROR, title, why, (cell.name,))


def differs_unjudged(contents: Contents, timed: PairTime) -> bool:
    """Whether a timed pair's outputs differ, of which the comparison, judged by another reference, says nothing."""
    if timed.outputs is not Verdict.DIFFER or accepted(contents, timed.candidate, timed.reference):
        return False
    sides = {timed.candidate, timed.reference}
    return not any(set(_sides(pair)) == sides and pair.judged for pair in contents.result.compared)


def _noise(contents: Contents) -> Iterator[Finding]:
    for cell, noises in contents.result.weighed.noise.items():
        told = [(noise, text) for noise in noises if (text := describe(noise)) is not None]
        if told:
            beyond = any(noise.beyond for noise, _ in told)
            title = f"{cell}: NONDETERMINISM" if beyond else f"{cell} is not deterministic, within the tolerance"
            lines = [f"output '{noise.output}': {text}" for noise, text in told[:MOST_REASONS]]
            only = told[0][0].output if len(told) == 1 else None
            yield _finding(Level.WARNING if beyond else Level.NOTICE, title, lines, (str(cell),), only)


def _drift(contents: Contents) -> Iterator[Finding]:
    from deltann.baseline.drift import Standing

    drift = contents.drift
    if drift is None:
        return
    rows = [] if drift.updated else drift.rows
    words = {Standing.WORSE: "worse than", Standing.CHANGED: "other than in", Standing.BETTER: "better than"}
    for row in rows:
        if row.standing in words:
            cells = [name for name in (row.entry.key.candidate, row.entry.key.reference) if name is not None]
            title = f"{row.entry.key.title}: {words[row.standing]} the baseline"
            level = Level.ERROR if drift.fails(row) else Level.NOTICE
            yield _finding(level, title, row.lines or [str(row.entry.value)], cells, row.entry.key.output)
    added = [row for row in rows if row.standing is Standing.NEW]
    new = [row.entry.key.title for row in added]
    gone = [entry.key.title for entry in drift.obsolete]
    for titles, what, level in (
        (new, "of this run not in the baseline", Level.ERROR if any(map(drift.fails, added)) else Level.NOTICE),
        (gone, "of the baseline not in this run", Level.NOTICE),
    ):
        if titles:
            told = "; ".join(titles[:MOST_REASONS]) + _more(len(titles) - MOST_REASONS, "more")
            yield _finding(level, f"{_count(len(titles), f'entry {what}', f'entries {what}')}", [told])


def _engines(contents: Contents) -> Iterator[Finding]:
    for record in contents.result.records:
        if record.outcome.status is Status.OK and (told := unasked(record)):
            says = ", ".join(f"{what} {value}" for what, value in (record.facts.get("actual") or {}).items())
            title = f"{record.cell}: {told}"
            yield _finding(Level.NOTICE, title, [f"the engine itself says: {says}"], (str(record.cell),))
    for group in contents.result.identical:
        if len({cell.role for cell in group}) == 1:
            names = tuple(map(str, group))
            why = "they ran the very same thing, so their agreement may only mean that one code ran twice"
            yield _finding(Level.NOTICE, f"{_names(names)}: lowered to identical artifacts", [why], names)


def unasked(record: CellRecord) -> str:
    """What the engine told that it did and nobody asked for: another arithmetic, options not followed; else empty."""
    actual, options = record.facts.get("actual") or {}, record.facts.get("options") or {}
    precision, note = actual.get("precision"), actual.get("note")
    other = declared(options, precision, note=note) is not declared(options, None)
    computed = f"computed in {precision or note}, which was not asked for" if other else ""
    return "; ".join(filter(None, (computed, f"ignored {actual['ignored']}" if actual.get("ignored") else "")))


def _reasons(pairs: Sequence[Pair]) -> list[tuple[str, str]]:
    return [(_pair(pair), reason) for pair in pairs for reason in pair.judgement.reasons]


def _sides(pair: Pair) -> tuple[str, str]:
    return str(pair.candidate), str(pair.reference)


def _pair(pair: Pair) -> str:
    return f"{pair.candidate} and {pair.reference}"


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")


def _more(number: int, what: str) -> str:
    if number <= 0:
        return ""
    return f" and {number} more" if what == "more" else f" and {_count(number, f'more {what}')}"


def _count(number: int, what: str, plural: str = "") -> str:
    return f"{number} {what if number == 1 else plural or f'{what}s'}"
