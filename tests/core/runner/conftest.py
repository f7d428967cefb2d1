from __future__ import annotations

from pathlib import Path

import pytest

from deltann.testing.job import Job
from deltann.testing.models import MODELS


@pytest.fixture
def job(tmp_path: Path, faulty: str) -> Job:
    """Seven samples of a model of two outputs, two samples a run; `faulty` is known."""
    del faulty
    return Job.save(MODELS["two_outputs"](), tmp_path, count=7, seed=3)
