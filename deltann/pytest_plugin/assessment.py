"""What a comparison means for the test that asked for it: a pure function of the result, its times and the marks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deltann.comparison.attribution import Sure
from deltann.comparison.verdict import Verdict
from deltann.environment import Environment
from deltann.judging import Pair
from deltann.outcome import Status
from deltann.pairing import LeftOut
from deltann.pytest_plugin.known import KnownFailure
from deltann.pytest_plugin.request import NATIVE
from deltann.report.contents import Contents
from deltann.result import Result
from deltann.timing.verdict import TimeVerdict


@dataclass(frozen=True)
class Assessment:
    """`failures`, a line each: the test fails. `missing`: environments that are not on this machine, with the pip line.

    `met`: known failures that happened. `unmet`: those whose environment was tested and did not fail.
    """

    failures: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    met: frozenset[KnownFailure] = frozenset()
    unmet: frozenset[KnownFailure] = frozenset()


@dataclass(frozen=True)
class _Problem:
    """`environments`: whose failure it is; of several it is not known whose. `kind`: as `KnownFailure.raises` names it.

    `timed`: it showed when the environments were timed, and their outputs were compared all the same.
    """

    environments: frozenset[str]
    kind: str
    text: str
    timed: bool = False


def assess(contents: Contents, known: Sequence[KnownFailure] = (), *, untimed: bool = False) -> Assessment:
    """Judge a finished comparison. `untimed`: times were asked for and not taken, so who is slower is not known.

    Fails closed: whatever is not AGREE, and neither excused nor missing, is a failure.

    Raises:
        UsageError: a known failure's `until` cannot be held against the version that ran.
    """
    result = contents.result
    there = [record.cell for record in result.records if record.outcome.status is not Status.UNAVAILABLE]
    versions = {cell.environment: _version(result, cell.environment) for cell in there}
    ended = {mark for mark in known if mark.environment in versions and mark.ended(versions[mark.environment])}
    current = [mark for mark in known if mark.environment in versions and mark not in ended]
    failures: list[str] = []
    met: set[KnownFailure] = set()
    excused: set[str] = set()
    for problem in (*_failed(result), *_different(result), *_slower(contents)):
        about = [mark for mark in known if mark.environment in problem.environments]
        if excuses := [mark for mark in about if mark in current and mark.admits(problem.kind)]:
            met.update(excuses)
            excused.update(() if problem.timed else (mark.environment for mark in excuses))
            continue
        failures.append(problem.text)
        for mark in about:
            if not mark.admits(problem.kind):
                failures.append(f"the known failure of {mark} excuses {', '.join(sorted(mark.raises or ()))} alone")
            elif mark in ended:
                version = versions[mark.environment]
                failures.append(
                    f"the known failure of {mark} is over: it is excused until {mark.until}, and this is {version}"
                )
    failures += _inconclusive(contents)
    failures += _not_compared(result, excused)
    failures += [f"{Verdict.INCONCLUSIVE}: {lost}" for lost in result.missing]
    missing = tuple(
        f"{record.cell} is {record.outcome.status}: {record.outcome.reason}"
        for record in result.records
        if record.outcome.status is Status.UNAVAILABLE
    )
    if contents.exit_code and not (failures or missing or met):
        failures.append(f"{result.verdict}: nothing was compared")
    # Where not all are here, two that are known to fail may well agree with each other.
    tested = _tested(result, {mark.environment for mark in current} if missing else set())
    unmet = {mark for mark in current if mark.environment in tested and mark not in met}
    if untimed:
        unmet = {mark for mark in unmet if not (mark.admits(TimeVerdict.REGRESSION) or mark.admits(Status.FAILED))}
    return Assessment(tuple(dict.fromkeys(failures)), missing, frozenset(met), frozenset(unmet))


def _version(result: Result, environment: str) -> str:
    """What ran, or would have run: "" where nobody knows."""
    parsed = Environment.parse(environment)
    ran = (record.facts.get("version") for record in result.records if record.cell.environment == environment)
    known = next(filter(None, ran), None)
    version = str(known or parsed.version or result.run.document["versions"].get(parsed.backend, ""))
    return version.rpartition(" ")[2] if environment == NATIVE else version  # which names its framework first


def _failed(result: Result) -> Iterator[_Problem]:
    for record in result.records:
        outcome = record.outcome
        if outcome.status in (Status.OK, Status.UNAVAILABLE):
            continue
        what = " ".join(filter(None, (outcome.status, outcome.symptom)))
        tail = f" while {outcome.stage}" if outcome.stage and outcome.stage not in outcome.reason else ""
        text = f"{record.cell} {what}: {outcome.reason}{tail}"
        yield _Problem(frozenset([record.cell.environment]), outcome.status, text)


def _different(result: Result) -> Iterator[_Problem]:
    for pair in result.compared:
        if pair.judged and pair.judgement.verdict is Verdict.DIFFER:
            text = f"{pair.candidate} and {pair.reference} DIFFER: {'; '.join(pair.judgement.reasons)}"
            yield _Problem(frozenset(_guilty(result, pair)), Verdict.DIFFER, text)


def _guilty(result: Result, pair: Pair) -> set[str]:
    """The side that is known to be wrong; both where none is."""
    blamed = {name for blame in result.blamed if blame.sure is not Sure.UNKNOWN for name in blame.cells}
    sides = (pair.candidate, pair.reference)
    return {cell.environment for cell in sides if str(cell) in blamed} or {cell.environment for cell in sides}


def _slower(contents: Contents) -> Iterator[_Problem]:
    timing = contents.timing
    if timing is None:
        return
    environments = {str(cell): cell.environment for cell in contents.result.run.cells}
    compared_ok = {str(r.cell) for r in contents.result.records if r.outcome.status is Status.OK}
    for cell in timing.cells:
        if cell.outcome.status is not Status.OK and cell.name in compared_ok:
            text = f"{cell.name} {cell.outcome.status} while it was timed: {cell.outcome.reason}"
            yield _Problem(frozenset([environments[cell.name]]), cell.outcome.status, text, timed=True)
    for pair in timing.pairs:
        if pair.verdict is TimeVerdict.REGRESSION:
            text = f"{pair.candidate} is slower than {pair.reference}: {'; '.join(pair.reasons)}"
            yield _Problem(frozenset([environments[pair.candidate]]), pair.verdict, text, timed=True)


def _inconclusive(contents: Contents) -> list[str]:
    """What could not be told, of outputs and of times, a line a reason; no mark excuses that."""
    result, timing = contents.result, contents.timing
    found: dict[str, list[str]] = {}
    for pair in result.compared:
        if pair.judged and pair.judgement.verdict is Verdict.INCONCLUSIVE:
            for reason in pair.judgement.reasons:
                found.setdefault(reason, []).append(f"{pair.candidate} and {pair.reference}")
    lines = [
        f"{pairs[0]}{f' and {len(pairs) - 1} more pairs' if pairs[1:] else ''}: INCONCLUSIVE: {reason}"
        for reason, pairs in found.items()
    ]
    failed = {cell.name for cell in timing.cells if cell.outcome.status is not Status.OK} if timing else set[str]()
    for times in timing.pairs if timing else ():
        if times.verdict is TimeVerdict.INCONCLUSIVE and failed.isdisjoint((times.candidate, times.reference)):
            names = f"times of {times.candidate} and {times.reference}"
            lines.append(f"{names}: INCONCLUSIVE: {'; '.join(times.reasons)}")
    return lines


def _not_compared(result: Result, excused: set[str]) -> list[str]:
    """A line where all that is left beside what is missing, and what is `excused`, is the very same thing twice."""
    left = [
        pair
        for pair in result.compared
        if pair.comparison
        and pair.left_out is not LeftOut.OTHER_REFERENCE
        and excused.isdisjoint((pair.candidate.environment, pair.reference.environment))
    ]
    if not left or any(pair.judged for pair in left):
        return []
    return [f"{Verdict.INCONCLUSIVE}: only environments that ran the very same thing were compared"]


def _tested(result: Result, doubtful: set[str]) -> set[str]:
    """The environments of which it is known whether they fail; to agree with one of the `doubtful` tells nothing."""
    failed = {
        record.cell.environment
        for record in result.records
        if record.outcome.status not in (Status.OK, Status.UNAVAILABLE)
    }
    pairs = [(p.candidate.environment, p.reference.environment) for p in result.compared if p.judged and p.comparison]
    return failed | {
        own for pair in pairs for own, other in (pair, pair[::-1]) if other not in doubtful or own == other
    }
