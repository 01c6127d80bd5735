"""docs/reference/bundle.md is true: its lines load a bundle without topwork."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import topwork

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "bundle.md"


@pytest.mark.parametrize("name", ["finetune", "scratch"])
def test_the_lines_of_the_page_predict_as_topwork_does(
    comparison: topwork.Comparison, photos: Path, tmp_path: Path, name: str
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    assert "topwork" not in code
    space: dict[str, Any] = {}
    exec(code, space)
    bundle = tmp_path / "moved"
    shutil.copytree(comparison[name].path / "model", bundle)
    photo = photos / "class2" / "003.png"
    (said,) = topwork.predict(bundle, photo, top=0, precision="float32", workers=0)
    assert space["predict"](bundle, photo) == pytest.approx({g.label: g.probability for g in said.top}, abs=1e-4)
