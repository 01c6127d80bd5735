"""One small trained comparison of all strategies, which the tests of its use share."""

from __future__ import annotations

from pathlib import Path

import pytest

import topwork
from topwork.strategies import STRATEGIES

SETS = ("scratch.epochs=1", "finetune.epochs=1", "mlp.epochs=3", "scratch.batch_size=8", "finetune.batch_size=8")


@pytest.fixture(scope="session")
def comparison(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> topwork.Comparison:
    out = tmp_path_factory.mktemp("use") / "stripes"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOPWORK_CACHE", str(out.parent / "cache"))
        return topwork.compare(
            photos, out=out, strategies=list(STRATEGIES), sets=SETS, img_size=32, curve=["none"], workers=0, threads=1,
            quiet=True,
        )  # fmt: skip


@pytest.fixture(scope="session")
def mlp(comparison: topwork.Comparison) -> topwork.Predictor:
    """The model of a frozen strategy, opened once."""
    return topwork.load(comparison["mlp"].path, workers=0)
