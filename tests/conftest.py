"""What all tests share: a cache of their own, no network, one small folder of images."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drawings import write_folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A feature cache that no other test sees, and no way to the network, also for child processes."""
    cache = tmp_path / "topwork-cache"
    monkeypatch.setenv("TOPWORK_CACHE", str(cache))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return cache


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of 14 images; tests must not change it."""
    return write_folder(tmp_path_factory.mktemp("photos") / "stripes")
