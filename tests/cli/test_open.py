"""``--open`` opens the page of a command that ended well, and says where the page is if there is no browser."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import pytest
from tests.commands import topwork

from topwork import Comparison

WINDOWS = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that a browser has opened; there is a display."""
    addresses: list[str] = []
    for name in WINDOWS:
        monkeypatch.setenv(name, ":0")
    monkeypatch.setattr(webbrowser, "open", lambda address: addresses.append(address) or True)
    return addresses


def test_the_pages_of_commands_are_opened(
    comparison: Comparison, photos: Path, tmp_path: Path, opened: list[str]
) -> None:
    done = topwork("report", comparison.path, "--open")
    assert done.returncode == 0, done.stderr
    done = topwork("check", photos, "--quick", "--json", "--open", "--out", tmp_path / "a check")
    assert done.returncode in (0, 4), done.stderr
    done = topwork("train", photos, "--strategy", "knn", "--img-size", 32, "-j", 0, "--out", tmp_path / "run", "--open")
    assert done.returncode == 0, done.stderr
    pages = [comparison.report, next((tmp_path / "a check").glob("*.html")), tmp_path / "run" / "report.html"]
    assert opened == [page.resolve().as_uri() for page in pages]


def test_nothing_is_opened_unless_requested_and_if_a_command_fails(
    comparison: Comparison, tmp_path: Path, opened: list[str]
) -> None:
    assert topwork("report", comparison.path).returncode == 0
    assert topwork("report", tmp_path, "--open").returncode == 1
    assert topwork("train", tmp_path, "--open").returncode != 0
    assert opened == []


@pytest.mark.parametrize("display", [False, True])
def test_without_a_browser_the_page_is_named(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch, display: bool
) -> None:
    for name in WINDOWS:
        monkeypatch.delenv(name, raising=False)
    if display:
        monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(webbrowser, "open", lambda address: not display)
    done = topwork("report", comparison.path, "--open")
    assert done.returncode == 0
    assert str(comparison.report) in done.stderr
