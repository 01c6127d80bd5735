"""What all tests share: a cache of their own, no network, one small folder of images, one small comparison on it.

torch is imported in the fixtures: the main process of several runs no test, and waits for its imports before it starts
the others.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock
import pytest
from hypothesis import settings

import topwork
from tests.drawings import write_folder

# The slowest files, longest first
SLOWEST = (
    "test_export", "test_devices", "test_resume", "test_sample", "test_data_parallel", "test_examples",
    "test_joined", "test_estimator", "test_show", "test_serve", "test_engines", "test_layouts", "test_page",
    "test_wheel",
    "test_strategies", "test_intervals", "test_fully_sharded", "test_check", "test_zoo", "test_class_weights",
    "test_repeats", "test_predict", "test_bundle",
)  # fmt: skip
settings.register_profile("topwork", deadline=None)  # no test depends on how busy the machine is
settings.load_profile("topwork")
SETS = (
    "scratch.epochs=1", "finetune.epochs=1", "mlp.epochs=3", "scratch.batch_size=8", "finetune.batch_size=8",
    "svm.tta=true", "knn.tta=true", "finetune.tta=false", "scratch.tta=false",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the slowest files, so that no process is left alone with one of them at the end."""
    order = {name: number for number, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A feature cache that no other test sees, and no way to the network, also for child processes."""
    cache = tmp_path / "topwork-cache"
    monkeypatch.setenv("TOPWORK_CACHE", str(cache))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return cache


@pytest.fixture(scope="session", autouse=True)
def quick_trainings() -> Iterator[None]:
    """What takes most of the time of a small training is left out."""
    from tests.commands import make_trainings_quick

    with pytest.MonkeyPatch.context() as patch:
        make_trainings_quick(patch)
        yield


@pytest.fixture(scope="session", autouse=True)
def engine_that_starts_at_once() -> Iterator[Callable[..., Any]]:
    """Where no engine is named, trainings in this process convert no network, which would be half of their time."""
    from topwork.features import engines

    available = engines.available
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            engines, "available", lambda c: available(replace(c, engine="torch") if c.engine == "auto" else c)
        )
        yield available


@pytest.fixture(scope="module")
def fastest_engine(engine_that_starts_at_once: Callable[..., Any]) -> Iterator[None]:
    """In this file the engine is what users get after all."""
    from topwork.features import engines

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "available", engine_that_starts_at_once)
        yield


@pytest.fixture
def drawn_charts(quick_trainings: None) -> Iterator[None]:
    """Charts are drawn in this test after all."""
    from tests.commands import SVG
    from topwork.report import charts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charts, "_svg", SVG)
        yield


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all processes that run tests: what takes long is made there by the first that needs it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def photos(shared: Path) -> Path:
    """Three classes of 14 images; tests must not change it."""
    with filelock.FileLock(shared / "photos.lock"):
        return shared / "stripes" if (shared / "stripes").exists() else write_folder(shared / "stripes")


@pytest.fixture(scope="session")
def comparison(photos: Path, shared: Path, engine_that_starts_at_once: object) -> topwork.Comparison:
    """Of all strategies, a copy for this process."""
    from topwork.strategies import STRATEGIES

    done, own = shared / "comparison.done", shared / os.environ.get("PYTEST_XDIST_WORKER", "alone") / "stripes"
    with filelock.FileLock(shared / "comparison.lock"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOPWORK_CACHE", str(shared / "cache"))
        if not done.exists():
            topwork.compare(
                photos, out=shared / "use" / "stripes", strategies=list(STRATEGIES), sets=SETS, img_size=32,
                learning_curve=["none"], workers=0, threads=1, quiet=True,
            )  # fmt: skip
            done.touch()
    return topwork.Comparison(Path(shutil.copytree(shared / "use" / "stripes", own)))


@pytest.fixture(scope="session")
def tiny_network(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Arguments for a network of a few layers with random weights, which trains in a fraction of the time."""
    import safetensors.torch
    import timm
    import torch

    torch.manual_seed(0)
    network = timm.create_model("test_efficientnet", num_classes=0)
    weights = tmp_path_factory.mktemp("tiny") / "random.safetensors"
    safetensors.torch.save_file(network.state_dict(), weights)
    return {"model": "test_efficientnet", "weights": str(weights)}


@pytest.fixture(scope="session")
def mlp(comparison: topwork.Comparison) -> topwork.Predictor:
    """The model of a frozen strategy, opened once."""
    return topwork.load(comparison["mlp"].path, workers=0)
