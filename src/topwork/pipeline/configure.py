"""From flags or keyword arguments to one configuration: defaults < file < flags < ``--set``. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from topwork.core.config import Config, parse_assignment, put, read_toml, validate
from topwork.core.errors import ConfigError, UnknownName, UsageError
from topwork.data.remote import is_address
from topwork.data.shard_patterns import is_pattern
from topwork.strategies import DEFAULT_STRATEGIES, STRATEGIES

# flag -> place in the configuration
PLACES = {
    "source": "data.source",
    "labels_from_path": "data.labels_from_path",
    "crop_to_box": "data.crop_to_box",
    "group_by": "data.group_by",
    "exclude": "data.exclude",
    "label_key": "data.label_key",
    "class_names": "data.class_names",
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
    "n_seeds": "n_seeds",
    "folds": "folds",
    "trials": "trials",
    "learning_curve": "learning_curve",
}
# flags of the training; in a comparison they go to the strategies that train on images
TRAINING = ("epochs", "minutes", "batch_size", "lr", "weight_decay", "patience")
# flags that name a file of settings
FILES = ("exclude", "class_names")
# flags that one strategy alone has
OWN = {"freeze_stages": "finetune"}


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
        strategies: Names; None for those of the file, or the usual four.
        config: A TOML file.
        sets: Assignments such as ``"finetune.lr=1e-4"``.
        **flags: Any of ``PLACES``, ``TRAINING`` and ``OWN``; None means not given.

    Raises:
        UsageError: An unknown name, a missing argument.
        ConfigError: A value that does not fit.
    """
    tree = read_toml(Path(config)) if config else {}
    if data is not None:
        put(tree, "data.path", os.fspath(data))
    tree["strategies"] = (
        list(strategies) if strategies is not None else tree.get("strategies", list(DEFAULT_STRATEGIES))
    )
    _check_strategies(tree["strategies"])
    if "path" not in tree.get("data", {}):
        raise UsageError("No images were named. Give a folder of class folders, e.g. `topwork compare photos/`.")
    path = Path(tree["data"]["path"])
    if path.exists():  # so that --resume works from any working directory
        tree["data"]["path"] = str(path.resolve())
    elif is_pattern(str(path)) and not is_address(str(path)):
        tree["data"]["path"] = os.path.abspath(path)
    for name, value in flags.items():
        if value is not None:
            value = os.path.abspath(value) if name in FILES else value
            _put_flag(tree, name, value)
    for text in sets:
        name, value = parse_assignment(text)
        put(tree, f"settings.{name}" if name.split(".")[0] in STRATEGIES else name, value)
    if "weights" in tree.get("backbone", {}) and Path(tree["backbone"]["weights"]).is_file():
        tree["backbone"]["weights"] = str(Path(tree["backbone"]["weights"]).resolve())
    missing = sorted(set(tree.get("learning_curve", ())) - set(tree["strategies"]) - {"none"})
    if missing:
        raise UsageError(
            f"--learning-curve {missing[0]} is not among the strategies: {', '.join(tree['strategies'])}, or none."
        )
    unknown = set(tree.get("settings", {})) - set(STRATEGIES)
    if unknown:
        raise UnknownName("strategy", sorted(unknown)[0], STRATEGIES)
    return validate(Config, tree)


def _check_strategies(names: Any) -> None:
    if not isinstance(names, list | tuple) or not names:
        raise ConfigError(f"strategies must be a list of names, got {names!r}.")
    for name in names:
        if name not in STRATEGIES:
            raise UnknownName("strategy", str(name), STRATEGIES)
    if len(set(names)) < len(names):
        raise UsageError(f"A strategy is named twice: {', '.join(names)}. Name each once.")


def _put_flag(tree: dict[str, Any], name: str, value: Any) -> None:
    if name in PLACES:
        put(tree, PLACES[name], value)
    elif name in TRAINING:
        strategies = tree["strategies"]
        for strategy in strategies if len(strategies) == 1 else [s for s in strategies if STRATEGIES[s].trains_network]:
            put(tree, f"settings.{strategy}.{name}", value)
    elif name in OWN:
        if OWN[name] not in tree["strategies"]:
            raise UsageError(f"--{name.replace('_', '-')} belongs to {OWN[name]}, which is not among the strategies.")
        put(tree, f"settings.{OWN[name]}.{name}", value)
    else:
        raise UnknownName("setting", name, [*PLACES, *TRAINING, *OWN])
