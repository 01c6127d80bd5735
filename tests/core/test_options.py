"""Each setting is declared once: flag, help, page, keyword argument and ``--set`` follow from its field."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import topwork
from topwork.cli import app
from topwork.cli.app import explicit
from topwork.core.base_config import BaseConfig
from topwork.core.config import Config
from topwork.core.errors import UnknownName, UsageError
from topwork.core.options import option_names, options
from topwork.pipeline.configure import build
from topwork.strategies import STRATEGIES, load

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text("utf-8")
VALUES: dict[Any, Any] = {int: 32, float: 0.25, str: "x", bool: True, list[str]: ["none"]}
SPECIAL = {"precision": "float32", "engine": "torch", "n_seeds": 2, "weights": "pretrained", "similar_labels": "merge",
           "bit_depth": 12, "background": "black", "metric": "macro-f1"}  # fmt: skip


def fields(model: type[BaseConfig]) -> Iterator[tuple[type[BaseConfig], str]]:
    """Every setting, with the class that holds it."""
    for name, field in model.model_fields.items():
        yield model, name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseConfig):
            yield from fields(field.annotation)


@pytest.mark.parametrize(("model", "name"), list(fields(Config)), ids=lambda v: v if isinstance(v, str) else v.__name__)
def test_every_setting_is_described(model: type[BaseConfig], name: str) -> None:
    if name not in STRATEGIES:  # the class of a strategy's settings has the docstring
        assert model.help_of(name).endswith(".")


def parsed(command: str, *arguments: str) -> dict[str, Any]:
    """The options that typer finds on a command line."""
    found = get_command(app).commands[command].make_context(command, list(arguments)).params
    return explicit({name: value for name, value in found.items() if name in options()})


@pytest.mark.parametrize("name", option_names("compare"))
def test_flag_keyword_and_set_give_the_same_configuration(name: str, tmp_path: Path) -> None:
    option = options()[name]
    value = SPECIAL.get(name, VALUES[option.type])
    typed = (
        [option.flag_name]
        if option.type is bool
        else [option.flag_name, str(value[0] if name == "learning_curve" else value)]
    )
    by_flag = build("photos", None, options=parsed("compare", "photos", *typed))
    by_keyword = build("photos", None, options={name: value})
    paths = [f"{s}.{name}" for s in option.targets(tuple(by_flag.strategies))] or [option.path]
    text = {bool: "true", list[str]: '["none"]'}.get(option.type, str(value))
    by_set = build("photos", None, sets=[f"{path}={text}" for path in paths])
    assert by_flag == by_keyword == by_set
    assert option.flag_name in PAGE
    assert name in inspect.signature(topwork.compare).parameters
    assert by_flag != build("photos", None) or name in ("weights", "batch_size")


def test_a_training_takes_a_flag_that_a_comparison_leaves_to_networks() -> None:
    assert build("photos", ["mlp"], options={"epochs": 3}).settings.mlp.epochs == 3
    both = build("photos", ["mlp", "finetune"], options={"epochs": 3}).settings
    assert (both.mlp.epochs, both.finetune.epochs) == (40, 3)
    with pytest.raises(UsageError, match="--freeze-stages is a setting of finetune"):
        build("photos", ["svm"], options={"freeze_stages": 1})
    with pytest.raises(UsageError, match=r"use --set mlp\.epochs=5") as error:
        build("photos", ["svm", "mlp"], options={"epochs": 5})
    assert "(scratch, finetune)" in str(error.value)
    assert build("photos", ["svm", "mlp"], sets=["mlp.epochs=5"]).settings.mlp.epochs == 5
    with pytest.raises(UnknownName, match="epochs"):
        build("photos", options={"epoch": 3})


def test_every_strategy_has_its_settings() -> None:
    settings = build("photos", list(STRATEGIES)).settings
    assert set(type(settings).model_fields) == set(STRATEGIES)
    for name in STRATEGIES:
        assert type(settings[name]).__name__ == load(name).Config.__name__
