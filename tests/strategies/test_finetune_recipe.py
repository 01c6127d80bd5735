"""The recipe of ``finetune`` depends on the number of steps where the settings leave it open."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from torch import nn

from topwork.strategies import load

FEW: dict[str, Any] = {"lr": 5e-4, "layer_decay": 0.85, "batch_norm": "frozen"}
MANY: dict[str, Any] = {"lr": 1e-3, "layer_decay": 1.0, "batch_norm": "update"}


def resolved(images: int, module: nn.Module | None = None, **settings: Any) -> dict[str, Any]:
    context = SimpleNamespace(
        compute=SimpleNamespace(device=SimpleNamespace(type="cpu"), fsdp=False),
        spec=SimpleNamespace(size=224),
        backbone=SimpleNamespace(dynamic_size=True, module=module or nn.BatchNorm2d(3)),
        splits=SimpleNamespace(ids={"train": [str(i) for i in range(images)]}),
    )
    strategy = load("finetune")
    found = strategy.resolve(strategy.Config(**settings), cast("Any", context))
    return {name: getattr(found, name) for name in FEW}


@pytest.mark.parametrize(("epochs", "expected"), [(4, FEW), (5, MANY)])
def test_many_steps_change_the_network_more(epochs: int, expected: dict[str, Any]) -> None:
    assert resolved(8 * 200, epochs=epochs) == expected
    assert resolved(32 * 200, epochs=epochs, batch_size=32) == expected


def test_settings_that_are_given_stay() -> None:
    assert resolved(32 * 60, epochs=20, layer_decay=0.9) == {**MANY, "layer_decay": 0.9}
    assert resolved(32 * 60, epochs=20, lr=2e-4, batch_norm="frozen") == {
        "lr": 2e-4, "layer_decay": 1.0, "batch_norm": "frozen",
    }  # fmt: skip
    assert resolved(32 * 60, epochs=20, optimizer="sgd") == {**MANY, "lr": 0.02}


def test_without_batchnorm_or_with_small_batches_nothing_changes() -> None:
    assert resolved(32 * 60, nn.LayerNorm(3), epochs=20) == FEW
    assert resolved(32 * 60, epochs=20, batch_size=4) == FEW
