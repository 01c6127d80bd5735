"""A right layout stays right, or topwork asks with a command, whatever people do to folders and tables on the way."""

from __future__ import annotations

import pytest
from tests.data.layouts.changes import LAYOUTS, misreadings, topmost_folders

CASES = 100  # of each kind; make torture tries 1,000


@pytest.mark.parametrize("kind", LAYOUTS)
def test_a_changed_layout_is_read_as_before_or_topwork_asks(kind: str) -> None:
    wrong, at_once = misreadings(kind, CASES)
    assert wrong == []
    assert at_once > CASES / 2, "more often asked than read"


def test_a_misreading_of_a_changed_layout_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("topwork.data.sources.folder.find_layouts", topmost_folders)
    assert misreadings("folders", 10)[0]
