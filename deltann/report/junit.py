"""JUnit XML, as continuous integration reads it: a test case for each model, environment and output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np

from deltann.acceptance import ACCEPTED, accepted, passes
from deltann.comparison.verdict import Verdict
from deltann.findings import command, differs_unjudged, how_it_ended
from deltann.outcome import Status
from deltann.report.junit_cases import FAULTS, Faults, judged
from deltann.report.text import printable
from deltann.timing.verdict import TimeVerdict

if TYPE_CHECKING:
    from deltann.report.contents import Contents
    from deltann.store import Cell, CellRecord

MOST_PAIRS = 5
LONGEST = 20_000
"""Characters of a traceback or log that a case holds, from its end."""
TIME = (
    "seconds an environment took to lower, load and run all samples, at the first of its outputs (they come together); "
    "of a case 'time', the seconds of all its timed runs; 0 where nothing was measured"
)


@dataclass(frozen=True)
class Case:
    """A test case. `element`: `failure`, `error`, `skipped`, or empty where it passed. `group`: what of the model it is
    of, where that is no output, which may have any name.
    """

    name: str
    seconds: float = 0.0
    element: str = ""
    kind: str = ""
    message: str = ""
    body: str = ""
    group: str = ""


def to_junit(contents: Contents) -> str:
    """The document: a test suite a model, a test case an environment and output.

    A case fails where the output DIFFERs in a judged pair and the environment is at fault: with a reference the
    candidate, else whoever is blamed for sure, else both. It is an error where that could not be judged, or where the
    environment crashed, ran out of time or memory (then one case of the environment as a whole); skipped where it is
    unsupported or unavailable, where the baseline accepts what it does, or where its agreement proves nothing. A
    REGRESSION is a failure of the case `ENVIRONMENT / time`. With a baseline each of its rows is a case too. The
    classname is the model's name, of times and of a baseline's rows with that added.
    """
    suites = _suites(contents)
    root = ElementTree.Element("testsuites", {"name": "deltann", **_counts([c for _, cases in suites for c in cases])})
    for name, cases in suites:
        suite = ElementTree.SubElement(root, "testsuite", {"name": printable(name), **_counts(cases)})
        suite.set("timestamp", printable(contents.result.run.document["created"]))
        properties = ElementTree.SubElement(suite, "properties")
        for key, value in _properties(contents).items():
            ElementTree.SubElement(properties, "property", {"name": key, "value": printable(value)})
        for case in cases:
            suite.append(_element(case, name))
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _suites(contents: Contents) -> list[tuple[str, list[Case]]]:
    result = contents.result
    names = {role: model.name for role, model in result.run.models.items()}
    if len(set(names.values())) < len(names):
        names = {role: f"{name} ({role})" for role, name in names.items()}
    faults = judged(contents)
    cases: dict[str, list[Case]] = {role: [] for role in names}
    if result.missing:
        first = cases[next(iter(cases))]
        first.append(Case("the run is complete", 0, "error", "MISSING", result.missing[0], "\n".join(result.missing)))
    for record in result.records:
        failed = record.outcome.status is not Status.OK
        cases[record.cell.role] += [_failed(contents, record)] if failed else _outputs(contents, record.cell, faults)
    for role, case in [*_times(contents), *_baseline(contents)]:
        cases[role].append(case)
    return [(names[role], found) for role, found in cases.items()]


def _outputs(contents: Contents, cell: Cell, faults: Faults) -> list[Case]:
    result = contents.result
    declared, given = result.weighed.declared.get(cell.role, ()), result.weighed.given.get(cell, ())
    cases = []
    for position, output in enumerate(dict.fromkeys((*declared, *given))):
        found = faults.get((cell, output), [])
        name, seconds = f"{cell.environment} / {output}", 0.0 if position else _seconds(contents, cell)
        worst = min((fault.kind for fault in found), key=FAULTS.index, default=None)
        if worst is None:
            why = "nothing judged it: each pair that it is in was left out, or has no outputs on the other side"
            certain = result.verdict in (Verdict.AGREE, Verdict.DIFFER) or passes(contents)
            cases.append(Case(name, seconds, "skipped" if certain else "error", "NOT_JUDGED", why, why))
            continue
        those = [fault for fault in found if fault.kind is worst]
        cut = len(those) - MOST_PAIRS
        told = [fault.text for fault in those[:MOST_PAIRS]] + [f"… and {cut} more pairs"] * (cut > 0)
        body = "\n\n".join([*told, f"More: {command(contents)}"])
        passed = not worst.element
        cases.append(
            Case(name, seconds, worst.element, worst.value, "" if passed else those[0].message, "" if passed else body)
        )
    return cases


def _failed(contents: Contents, record: CellRecord) -> Case:
    outcome, seconds = record.outcome, _seconds(contents, record.cell)
    known = accepted(contents, str(record.cell))
    skipped = known or outcome.status in (Status.UNSUPPORTED, Status.UNAVAILABLE)
    body = "\n".join(filter(None, (outcome.reason, outcome.detail[-LONGEST:])))
    message = ": ".join(filter(None, (ACCEPTED if known else "", how_it_ended(record), outcome.reason)))
    kind = outcome.symptom or outcome.status
    return Case(record.cell.environment, seconds, "skipped" if skipped else "error", kind, message, body)


def _seconds(contents: Contents, cell: Cell) -> float:
    """What lowering, loading and running all samples took, as far as it came."""
    record = next(record for record in contents.result.records if record.cell == cell)
    known = [record.facts.get(key) or 0.0 for key in ("lower_s", "load_s")]
    ran = contents.result.run.times(cell) if record.outcome.status is Status.OK else np.empty(0)
    return float(sum(known) + np.nansum(ran))


def _times(contents: Contents) -> list[tuple[str, Case]]:
    timing, found = contents.timing, []
    elements = {TimeVerdict.REGRESSION: "failure", TimeVerdict.INCONCLUSIVE: "error"}
    cells = {str(cell): cell for cell in contents.result.run.cells}
    for pair in timing.pairs if timing is not None else ():
        cell = cells[pair.candidate]
        measured = [one for round_ in timing.rounds for one in round_.measured] if timing else []
        seconds = sum(float(one.seconds.sum()) for one in measured if one.name == pair.candidate)
        name = f"{cell.environment} / time"
        element, kind = elements.get(pair.verdict, ""), str(pair.verdict)
        told = f"{pair.candidate} against {pair.reference}: {'; '.join(pair.reasons)}"
        if differs_unjudged(contents, pair):
            element, kind, told = "failure", "DIFFER", f"{told}; their outputs differ"
        elif element and accepted(contents, pair.candidate, pair.reference, timed=True):
            element, told = "skipped", f"{ACCEPTED}: {told}"
        body = f"{told}\nslowdown = time of the candidate / time of the reference - 1\n\nMore: {command(contents)}"
        case = Case(name, seconds, element, kind, told, body) if element else Case(name, seconds)
        found.append((cell.role, replace(case, group="times")))
    return found


def _baseline(contents: Contents) -> list[tuple[str, Case]]:
    from deltann.baseline.drift import Standing

    drift, found = contents.drift, []
    cells = {str(cell): cell for cell in contents.result.run.cells}
    for row in drift.rows if drift is not None else ():
        new = row.standing is Standing.NEW and drift is not None and not drift.updated
        element = "failure" if drift is not None and drift.fails(row) else "skipped" if new else ""
        group = "baseline" if row.entry.key.measured is None else "baseline of times"
        case = Case(f"{row.entry.key.title} / baseline", group=group)
        if element:
            told = row.lines[0] if row.lines else str(row.entry.value)
            body = "\n".join([*row.lines, f"More: {command(contents)}"])
            case = replace(case, element=element, kind=row.standing, message=told, body=body)
        found.append((cells[row.entry.key.candidate].role, case))
    return found


def _properties(contents: Contents) -> dict[str, str]:
    document, criteria = contents.result.run.document, contents.result.criteria.to_json()
    asked = {key: str(value) for key, value in criteria.items() if value}
    return {
        "deltann": document["deltann"],
        "verdict": contents.result.verdict.value,
        "inputs": f"{len(contents.result.run.sample_names)} samples from {document['inputs']['source']}",
        **asked,
        "time": TIME,
    }


def _counts(cases: Sequence[Case]) -> dict[str, str]:
    elements = Counter(case.element for case in cases)
    return {
        "tests": str(len(cases)),
        "failures": str(elements["failure"]),
        "errors": str(elements["error"]),
        "skipped": str(elements["skipped"]),
        "time": f"{sum(case.seconds for case in cases):.6f}",
    }


def _element(case: Case, classname: str) -> ElementTree.Element:
    classname = f"{classname} ({case.group})" if case.group else classname
    names = {"classname": printable(classname), "name": printable(case.name), "time": f"{case.seconds:.6f}"}
    element = ElementTree.Element("testcase", names)
    if case.element:
        child = ElementTree.SubElement(element, case.element, {"type": case.kind, "message": printable(case.message)})
        # A line at a time: its newlines are ours, all else that no XML may hold becomes an escape.
        child.text = "\n".join(map(printable, case.body.splitlines()))
    return element
