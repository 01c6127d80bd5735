"""Learning rate and weight decay that suit the optimizer."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.drawn_features import DrawnFeatures

from topwork.core import config as configuration
from topwork.core.config import Config
from topwork.core.errors import ConfigError
from topwork.pipeline.configure import build
from topwork.strategies import load
from topwork.training.search_space import sample

NETWORKS = ["scratch", "mlp", "finetune"]


def _build(name: str, *sets: str) -> Config:
    return build("photos", [name], sets=[f"{name}.{text}" for text in sets])


@pytest.mark.parametrize("name", NETWORKS)
def test_sgd_has_rates_of_its_own(name: str) -> None:
    adamw, sgd = _build(name), _build(name, "optimizer=sgd")
    a, b = adamw.settings[name].model_dump(), sgd.settings[name].model_dump()
    assert 10 <= b["lr"] / a["lr"] <= 100
    assert b["weight_decay"] < a["weight_decay"] / 100  # coupled to the gradient and its momentum
    assert _build(name, "lr=auto", "weight_decay=auto").settings[name] == adamw.settings[name]
    chosen = _build(name, "optimizer=sgd", "lr=0.007", "weight_decay=0.1").settings[name].model_dump()
    assert (chosen["lr"], chosen["weight_decay"]) == (0.007, 0.1)
    assert "lr" not in configuration.to_toml(sgd)  # a default is no choice of the user's


@pytest.mark.parametrize("name", NETWORKS)
def test_a_search_samples_rates_that_suit_the_optimizer(name: str) -> None:
    strategy = load(name)
    for optimizer in ("adamw", "sgd"):
        settings = strategy.Config(optimizer=optimizer)
        for trial in range(1, 20):
            sampled = sample(strategy.search, 0, name, trial)
            scaled = settings.scale_rates(sampled)
            assert scaled.keys() == sampled.keys()
            assert settings.lr / 11 < scaled["lr"] < settings.lr * 11
            assert optimizer == "sgd" or scaled == sampled


@pytest.mark.parametrize("text", ["optimizer=adam", "lr=-1", "lr=fast", "weight_decay=-1"])
def test_a_fault_is_named_alone(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        _build("mlp", text)
    assert str(error.value).count("mlp.") == 1
    assert "factory" not in str(error.value)


def test_a_head_learns_with_sgd(tmp_path: Path) -> None:
    drawn, strategy = DrawnFeatures(3, 40, 1, distance=6), load("mlp")
    config = strategy.Config(optimizer="sgd", epochs=8, batch_size=16)
    trained = strategy.fit(config, drawn.context(tmp_path, False))
    assert drawn.recalls(trained.scores("val")).min() > 0.9
