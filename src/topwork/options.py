"""From flags or keyword arguments to one configuration: defaults < file < flags < ``--set``. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from topwork.config import STRATEGY_NAMES, Config, parse_assignment, put, read_toml, validate
from topwork.errors import ConfigError, UnknownName, UsageError

# flag -> place in the configuration
PLACES = {
    "source": "data.source",
    "val_fraction": "data.val_fraction",
    "test_fraction": "data.test_fraction",
    "model": "backbone.model",
    "weights": "backbone.weights",
    "img_size": "backbone.img_size",
    "device": "compute.device",
    "precision": "compute.precision",
    "workers": "compute.workers",
    "threads": "compute.threads",
    "seed": "seed",
}
# flags of the training; in a comparison they go to the strategies that train on images
TRAINING = ("epochs", "minutes", "batch_size", "lr", "weight_decay", "patience")
ON_IMAGES = ("scratch", "finetune")


def build(
    data: str | os.PathLike[str] | None,
    strategies: Sequence[str] | None = None,
    config: str | os.PathLike[str] | None = None,
    sets: Sequence[str] = (),
    **flags: Any,
) -> Config:
    """The configuration that was asked for, with its ``auto`` wishes.

    Args:
        data: Folder or name; None if the file names it.
        strategies: Names; None for those of the file, or all.
        config: A TOML file.
        sets: Assignments such as ``"finetune.lr=1e-4"``.
        **flags: Any of ``PLACES`` and ``TRAINING``; None means not given.

    Raises:
        UsageError: An unknown name, a missing argument.
        ConfigError: A value that does not fit.
    """
    tree = read_toml(Path(config)) if config else {}
    if data is not None:
        put(tree, "data.path", os.fspath(data))
    if strategies is not None:
        tree["strategies"] = list(strategies)
    _check_strategies(tree.get("strategies", STRATEGY_NAMES))
    if "path" not in tree.get("data", {}):
        raise UsageError("No images were named. Give a folder of class folders, e.g. `topwork compare photos/`.")
    path = Path(tree["data"]["path"])
    if path.exists():  # so that --resume works from any working directory
        tree["data"]["path"] = str(path.resolve())
    for name, value in flags.items():
        if value is not None:
            _put_flag(tree, name, value)
    for text in sets:
        put(tree, *parse_assignment(text))
    if "weights" in tree.get("backbone", {}) and Path(tree["backbone"]["weights"]).is_file():
        tree["backbone"]["weights"] = str(Path(tree["backbone"]["weights"]).resolve())
    unknown = set(tree.get("settings", {})) - set(STRATEGY_NAMES)
    if unknown:
        raise UnknownName("strategy", sorted(unknown)[0], STRATEGY_NAMES)
    return validate(Config, tree)


def _check_strategies(names: Any) -> None:
    if not isinstance(names, list | tuple) or not names:
        raise ConfigError(f"strategies must be a list of names, got {names!r}.")
    for name in names:
        if name not in STRATEGY_NAMES:
            raise UnknownName("strategy", str(name), STRATEGY_NAMES)
    if len(set(names)) < len(names):
        raise UsageError(f"A strategy is named twice: {', '.join(names)}. Name each once.")


def _put_flag(tree: dict[str, Any], name: str, value: Any) -> None:
    if name in PLACES:
        put(tree, PLACES[name], value)
    elif name in TRAINING:
        strategies = tree.get("strategies", STRATEGY_NAMES)
        for strategy in strategies if len(strategies) == 1 else [s for s in strategies if s in ON_IMAGES]:
            put(tree, f"{strategy}.{name}", value)
    else:
        raise UnknownName("setting", name, [*PLACES, *TRAINING])
