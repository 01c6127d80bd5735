"""Random layouts of data sets, in other orders than the tests have: read rightly, or asked about with a command."""

from __future__ import annotations

from unittest import mock

from tests.data.layouts.changes import LAYOUTS, misreadings, topmost_folders
from tests.torture.calls import Tally


def change(cases: int, seed: int = 1) -> Tally:
    """Make layouts of each kind and read them.

    Args:
        cases: How many, all kinds together.
        seed: Of the layouts.
    """
    tally = Tally()
    for kind in LAYOUTS:
        number = cases // len(LAYOUTS)
        wrong, _ = misreadings(kind, number, seed)
        tally.tried += number
        tally.hit += number
        tally.wrong += wrong
    return tally


def change_with_a_fault(cases: int) -> Tally:
    """The same where the topmost folders are taken for the classes."""
    with mock.patch("topwork.data.sources.folder.find_layouts", topmost_folders):
        return change(cases)
