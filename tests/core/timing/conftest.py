"""The simulated machines of `deltann.testing.simulated`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from deltann.testing import simulated
from deltann.timing.series import Series

Simulate = Callable[..., tuple[Series, Series]]


@pytest.fixture(scope="session")
def simulate() -> Simulate:
    return simulated.simulate


@pytest.fixture(scope="session")
def machines() -> Mapping[str, simulated.Machine]:
    return simulated.MACHINES
