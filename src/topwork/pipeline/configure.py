"""From flags or keyword arguments to one configuration: defaults < file < flags < ``--set``. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from topwork.core.config import Config, parse_assignment, put, read_toml, validate
from topwork.core.errors import ConfigError, UnknownName, UsageError
from topwork.core.image_ref import is_url
from topwork.core.options import OptionValue
from topwork.core.options import options as all_options
from topwork.data.shard_patterns import is_pattern
from topwork.strategies import DEFAULT_STRATEGIES, STRATEGIES


def build(
    data: str | os.PathLike[str] | None,
    strategies: Sequence[str] | None = None,
    config: str | os.PathLike[str] | None = None,
    sets: Sequence[str] = (),
    options: Mapping[str, OptionValue] | None = None,
) -> Config:
    """The configuration that is requested, not yet resolved.

    Args:
        data: Folder or name; None if the file names it.
        strategies: Names; None for those of the file, or the default ones.
        config: A TOML file.
        sets: Assignments such as ``"finetune.lr=1e-4"``.
        options: Single settings by the names in ``core.options``; None is ignored.

    Raises:
        UsageError: An unknown name, a missing argument.
        ConfigError: An invalid value.
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
    elif is_pattern(str(path)) and not is_url(str(path)):
        tree["data"]["path"] = os.path.abspath(path)
    for name, value in (options or {}).items():
        if value is not None:
            _put_option(tree, name, value)
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


def _put_option(tree: dict[str, Any], name: str, value: Any) -> None:
    if name not in all_options():
        raise UnknownName("setting", name, list(all_options()))
    option, strategies = all_options()[name], tree["strategies"]
    if not option.strategies:
        put(tree, option.path, value)
        return
    targets = option.targets(strategies)
    if not targets:
        raise UsageError(
            f"{option.flag_name} is a setting of {', '.join(option.strategies)}; it does not apply to "
            f"{', '.join(strategies)}. Remove it, or set it with --set STRATEGY.{name}=VALUE."
        )
    for strategy in targets:
        put(tree, f"settings.{strategy}.{name}", value)
