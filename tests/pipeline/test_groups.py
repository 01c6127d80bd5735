"""Groups that are named reach the intervals, the verdict and the report of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import topwork


def test_groups_are_counted_in_metrics_and_report(photos: Path, tmp_path: Path, tiny_network: dict[str, Any]) -> None:
    words: dict[str, Any] = {
        "strategies": ["knn", "linear"],
        "img_size": 32,
        "workers": 0,
        "quiet": True,
        **tiny_network,
    }
    together = r"(class\d/00[4-9]|class\d/0[01])"  # 000 to 003 and 010 to 013 are two groups
    alone, grouped = (
        topwork.compare(photos, out=tmp_path / name, learning_curve=["none"], **more, **words)
        for name, more in (("alone", {}), ("grouped", {"group_by": together}))
    )
    assert alone["knn"].metrics["test"]["groups"] is None
    test = grouped["knn"].metrics["test"]
    assert 1 < test["groups"] < test["images"]
    said = f"the intervals and tests count {test['groups']} independent units"
    assert said in (grouped.path / "report.html").read_text("utf-8")
    assert "independent units" not in (alone.path / "report.html").read_text("utf-8")
