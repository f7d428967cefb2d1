"""What a finished scoreboard says: counts by environment, suite and operator, and the findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deltann.errors import UsageError
from deltann.scoreboard.cases import SUITES
from deltann.scoreboard.record import Record
from deltann.scoreboard.row import FINDINGS, Result, Row

Counts = Mapping[Result, int]


@dataclass(frozen=True)
class Scoreboard:
    """`rows` has a row for each environment and case, those that were not tested among them."""

    record: Record
    rows: Mapping[str, Mapping[str, Row]]

    @classmethod
    def of(cls, record: Record) -> Scoreboard:
        """The scoreboard that a record holds.

        Raises:
            UsageError: cases are missing.
        """
        missing = sum(map(len, record.pending().values()))
        if missing:
            raise UsageError(f"{record.folder} is not complete ({missing} cases have not ended): repeat the command")
        rows = {}
        for environment in record.environments:
            stored = record.rows(environment)
            rows[environment] = {
                case.name: Row(case.name, Result.UNTESTED, reason=case.untested) if case.untested else stored[case.name]
                for case in record.cases
            }
        return cls(record, rows)

    @property
    def document(self) -> Mapping[str, Any]:
        """What was asked, and with which versions."""
        return self.record.document

    @property
    def environments(self) -> Mapping[str, str]:
        """The framework's version by environment."""
        return self.record.environments

    @property
    def suites(self) -> list[str]:
        """The suites that have cases here."""
        present = {case.suite for case in self.record.cases}
        return [suite for suite in SUITES if suite in present]

    @property
    def operators(self) -> list[str]:
        """The operators that node tests here are about."""
        return sorted({case.operator for case in self.record.cases} - {""})

    def counts(self, environment: str) -> Counts:
        """How many cases had each result."""
        return Counter(row.result for row in self.rows[environment].values())

    def by_suite(self, environment: str) -> dict[str, Counts]:
        """The counts of each suite."""
        found: dict[str, Counter[Result]] = {suite: Counter() for suite in self.suites}
        for case in self.record.cases:
            found[case.suite][self.rows[environment][case.name].result] += 1
        return dict(found)

    def by_operator(self, environment: str) -> dict[str, Counts]:
        """The counts of each operator: of its node tests, and of its function body's."""
        found: dict[str, Counter[Result]] = {operator: Counter() for operator in self.operators}
        for case in self.record.cases:
            if case.operator:
                found[case.operator][self.rows[environment][case.name].result] += 1
        return dict(found)

    def findings(self, environment: str) -> list[Row]:
        """The rows that are findings, kind by kind, as they were run within a kind."""
        rows = [row for row in self.rows[environment].values() if row.result in FINDINGS]
        return sorted(rows, key=lambda row: FINDINGS.index(row.result))

    def finding(self, environment: str, case: str) -> Path:
        """The folder of a finding, relative to the scoreboard's own."""
        return self.record.finding(environment, case).relative_to(self.record.folder)

    def untested(self) -> Counter[str]:
        """How many cases are given to nobody, by reason, the most frequent first."""
        return Counter(case.untested for case in self.record.cases if case.untested)

    def precisions(self, environment: str) -> list[str]:
        """The types that the engine says it computed cases in, the most frequent first; empty where it tells none."""
        told = Counter(row.actual.get("precision", "") for row in self.rows[environment].values())
        return [precision for precision, _ in told.most_common() if precision]


def tested(counts: Counts) -> int:
    """How many were tested."""
    return sum(counts.values()) - counts.get(Result.UNTESTED, 0)
