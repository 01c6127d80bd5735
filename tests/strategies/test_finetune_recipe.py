"""The recipe of ``finetune`` depends on the number of steps where the settings leave it open."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from torch import nn

from topwork.strategies import load

FEW: dict[str, Any] = {"lr": 5e-4, "layer_decay": 0.85, "batch_norm": "frozen"}
MANY: dict[str, Any] = {"lr": 1e-3, "layer_decay": 1.0, "batch_norm": "update"}


def resolved(images: int, module: nn.Module | None = None, classes: int = 10, **settings: Any) -> dict[str, Any]:
    context = SimpleNamespace(
        compute=SimpleNamespace(device=SimpleNamespace(type="cpu"), fsdp=False),
        spec=SimpleNamespace(size=224),
        num_classes=classes,
        backbone=SimpleNamespace(dynamic_size=True, module=module or nn.BatchNorm2d(3)),
        splits=SimpleNamespace(ids={"train": [str(i) for i in range(images)]}),
    )
    strategy = load("finetune")
    found = strategy.resolve(strategy.Config(**settings), cast("Any", context))
    return {name: getattr(found, name) for name in (*FEW, "batch_size")}


def recipe(images: int, module: nn.Module | None = None, classes: int = 10, **settings: Any) -> dict[str, Any]:
    found = resolved(images, module, classes, **settings)
    return {name: found[name] for name in FEW}


@pytest.mark.parametrize(("epochs", "expected"), [(4, FEW), (5, MANY)])
def test_many_steps_change_the_network_more(epochs: int, expected: dict[str, Any]) -> None:
    assert recipe(8 * 200, epochs=epochs) == expected
    assert recipe(32 * 200, epochs=epochs, batch_size=32) == expected


def test_few_classes_keep_the_recipe_of_few_steps() -> None:
    assert recipe(8 * 200, classes=9, epochs=5) == FEW


def test_settings_that_are_given_stay() -> None:
    assert recipe(32 * 60, epochs=20, layer_decay=0.9) == {**MANY, "layer_decay": 0.9}
    assert recipe(32 * 60, epochs=20, lr=2e-4, batch_norm="frozen") == {
        "lr": 2e-4, "layer_decay": 1.0, "batch_norm": "frozen",
    }  # fmt: skip
    assert recipe(32 * 60, epochs=20, optimizer="sgd") == {**MANY, "lr": 0.02}


def test_without_batchnorm_or_with_small_batches_nothing_changes() -> None:
    assert recipe(32 * 60, nn.LayerNorm(3), epochs=20) == FEW
    assert recipe(32 * 60, epochs=20, batch_size=4) == FEW


@pytest.mark.parametrize(
    ("images", "classes", "settings", "size"),
    [
        (3_200, 10, {}, 32),  # 10 epochs make 1,000 steps
        (3_199, 10, {}, 16),
        (1_599, 10, {}, 8),
        (10, 10, {}, 8),
        (10, 10, {"batch_size": 32}, 32),  # given
        (800, 9, {}, 32),  # 250 steps
        (799, 9, {}, 16),
        (399, 9, {}, 8),
    ],
)
def test_batches_are_smaller_where_there_would_be_few_steps(
    images: int, classes: int, settings: dict[str, int], size: int
) -> None:
    assert resolved(images, classes=classes, epochs=10, **settings)["batch_size"] == size
