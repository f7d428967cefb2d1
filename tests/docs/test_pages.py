"""The pages hold no gaps, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page
    for page in (
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("experiments/**/*.md"),
        *ROOT.glob("benchmarks/*.md"),
    )
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_is_whole(page: Path) -> None:
    text = page.read_text()
    assert "@@" not in text
    for target in re.findall(r"(?<!\\)\]\((?!https?:)([^)#]+)\)", text):
        assert (page.parent / target).exists(), target
