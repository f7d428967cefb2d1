from __future__ import annotations

from pathlib import Path

import pytest

from deltann.cache import cache_dir


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DELTANN_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache/deltann"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg/deltann"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DELTANN_CACHE", "mine")
    assert cache_dir() == tmp_path / "mine"
