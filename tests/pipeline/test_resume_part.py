"""The runs of a comparison are resumed by the comparison, which holds them while it trains them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.changes import content
from tests.pipeline.test_nothing_lost import FAST

import topwork
from topwork.core import folder_lock


def test_a_run_of_a_comparison_is_held_while_it_is_trained_and_resumed_by_the_comparison_alone(
    photos: Path, tmp_path: Path
) -> None:
    tried = []

    class Meanwhile:
        def on_start(self, run: Any) -> None:
            with pytest.raises(topwork.TopworkError, match="in use by another"), folder_lock.lock_folder(run.path):
                pass
            tried.append(run.path)

    flags = {"strategies": ["knn", "mlp"], "learning_curve": ["none"], "sets": ["mlp.epochs=1"], "n_seeds": 2}
    comparison = topwork.compare(photos, out=tmp_path / "out", callbacks=[Meanwhile()], **flags, **FAST).path
    parts = [comparison / "knn", comparison / "mlp"]
    parts.append(comparison / "repeats" / "seed-1" / "mlp")  # knn does not depend on the seed
    assert tried == parts
    before = content(comparison)
    for part in parts:
        for words in {}, {"epochs": 2}, {"strategy": "mlp"}:
            with pytest.raises(topwork.TopworkError, match=f"topwork compare --resume {comparison}"):
                topwork.train(resume=part, quiet=True, **words)
    with pytest.raises(topwork.TopworkError, match=r"mlp\.epochs: 1 -> 2"):
        topwork.compare(resume=comparison, sets=["mlp.epochs=2"], quiet=True)
    assert content(comparison) == before
