"""The examples in docstrings run as written, on a small folder of images and a small trained run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import topwork
from tests.torture.exports import copy_quick

SOURCE = Path(topwork.__file__).parent
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages([str(SOURCE)], "topwork.")
    if ">>>" in SOURCE.joinpath(*module.name.split(".")[1:]).with_suffix("" if module.ispkg else ".py").joinpath(
        "__init__.py" if module.ispkg else ""
    ).read_text("utf-8")
)  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(
    name: str, photos: Path, comparison: topwork.Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = comparison["mlp"].path
    if name == "topwork.inference.export.exporter":
        run = copy_quick(run, tmp_path / "quick")
    given: dict[str, Any] = {"topwork": topwork, "np": np, "photos": str(photos), "run": str(run)}
    module = importlib.import_module(name)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name, globs=vars(module) | given):
        report: list[str] = []
        result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).run(
            test, out=report.append
        )
        assert not result.failed, "".join(report)
