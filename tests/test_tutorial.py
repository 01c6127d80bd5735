"""The tutorial is true: its commands run one after another and print what the page shows."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tutorial() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_tutorial", ROOT / "docs" / "make_tutorial.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not all(map(shutil.which, ("curl", "cut"))), reason="needs curl and cut")
def test_the_commands_print_what_the_page_shows(tutorial: ModuleType, tmp_path: Path) -> None:
    page = tutorial.PAGE.read_text("utf-8")
    assert len(tutorial.BLOCK.findall(page)) == page.count("```console") > 5
    assert tutorial.masked(tutorial.run_page(page, tmp_path)) == tutorial.masked(page), (
        "run `python docs/make_tutorial.py`"
    )


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("  svm: done in 1 s; test accuracy 96.2%", "  svm: done in 2 min 10 s; test accuracy 96.2%", True),
        ("mlp  92.3%  21 s + 18 s features  1,281", "mlp  92.3%  3 s + 8 s features  1,281", True),
        ("knn (about as long) was not shown", "knn (1.6 times as long) was not shown", True),
        ("svm  92.3%  [73.5, 98.1]", "svm  92.3%  [73.6, 98.1]", False),
        ("new/a.png,defective,0.98221,no", "new/a.png,defective,0.98229,no", True),
        ("new/a.png,defective,0.98221,no", "new/a.png,functional,0.98221,no", False),
    ],
)
def test_times_are_masked_and_results_are_not(tutorial: ModuleType, one: str, other: str, equal: bool) -> None:
    assert (tutorial.masked(one) == tutorial.masked(other)) == equal
