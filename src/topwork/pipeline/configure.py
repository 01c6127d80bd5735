"""From flags or keyword arguments to one configuration, and what a resume may change of it. Imports no torch.

Precedence: defaults < file < flags < ``--set``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from topwork.core import commands
from topwork.core import config as configuration
from topwork.core.artifacts import Manifest, read_run_info
from topwork.core.config import DEFAULT_MODEL, Config, parse_assignment, put, read_toml, validate
from topwork.core.errors import ConfigError, SettingsChanged, UnknownName, UsageError
from topwork.core.image_ref import is_url
from topwork.core.names import JOIN, PRETRAINED, all_names, split_models, split_weights, strategies_of, strategy_of
from topwork.core.options import Option, OptionValue
from topwork.core.options import options as all_options
from topwork.core.storage import read_json
from topwork.data.shard_patterns import is_pattern
from topwork.strategies import DEFAULT_STRATEGIES, STRATEGIES


def request(
    kind: str,
    data: str | os.PathLike[str] | None,
    strategies: Sequence[str] | None,
    resume: str | os.PathLike[str] | None,
    config: str | os.PathLike[str] | None,
    sets: Sequence[str],
    options: Mapping[str, OptionValue],
) -> Config:
    """What a command would run: the configuration of its arguments, or that of the folder it resumes with them.

    Args:
        kind: ``"run"`` or ``"comparison"``.
        resume: Folder; a setting that is not explicit is that of the folder.
        data, strategies, config, sets, options: See ``build``.

    Raises:
        UsageError: The folder is of another kind, or a run takes one strategy and one training.
        SettingsChanged: An explicit setting is not that of the folder.
    """
    if resume is not None:
        old = requested_config(Path(resume), kind)
        requested = build(data, strategies, config, sets, options, old)
        refuse_changes(requested, old, Path(resume))
    else:
        default = None if config or kind == "comparison" else ["finetune"]
        requested = build(data, strategies or default, config, sets, options)
    if kind == "run" and len(requested.strategies) != 1:
        raise UsageError("train takes one strategy; use --strategy NAME, or the command compare for several.")
    if kind == "run" and (requested.n_seeds > 1 or requested.folds):
        raise UsageError("train makes one training; for --n-seeds and --folds use the command compare.")
    return requested


def build(
    data: str | os.PathLike[str] | None,
    strategies: Sequence[str] | None = None,
    config: str | os.PathLike[str] | None = None,
    sets: Sequence[str] = (),
    options: Mapping[str, OptionValue] | None = None,
    base: Config | None = None,
) -> Config:
    """The requested configuration, in which ``auto`` is not yet resolved.

    Args:
        data: Folder or name; None: that of the file.
        strategies: Names; None: those of the file, or the default ones.
        config: A TOML file.
        sets: Assignments such as ``"finetune.lr=1e-4"``.
        options: Single settings by the names in ``core.options``; None is ignored; ``model`` may be several.
        base: What all of these change; None: the defaults.

    Raises:
        UsageError: An unknown name, a missing argument.
        ConfigError: An invalid value.
    """
    tree = base.model_dump(mode="json", exclude_none=True) if base else {}
    _merge(tree, read_toml(Path(config)) if config else {})
    if data is not None:
        put(tree, "data.path", os.fspath(data))
    chosen = list(strategies) if strategies is not None else tree.get("strategies")
    tree["strategies"] = [*DEFAULT_STRATEGIES] if chosen is None else chosen
    _check_strategies(tree["strategies"])
    options = {name: value for name, value in (options or {}).items() if value is not None}
    _put_models(tree, options.pop("model", tree.get("models", ())))
    if "path" not in tree.get("data", {}):
        raise UsageError("DATA is missing. Pass a folder that holds one folder of images per class.")
    path = Path(tree["data"]["path"])
    if path.exists():  # so that --resume works from any working directory
        tree["data"]["path"] = str(path.resolve())
    elif is_pattern(str(path)) and not is_url(str(path)):
        tree["data"]["path"] = os.path.abspath(path)
    for name, value in options.items():
        _put_option(tree, name, value)
    for text in sets:
        name, value = parse_assignment(text)
        put(tree, f"settings.{name}" if name.split(".")[0] in STRATEGIES else name, value)
    _find_weights(tree.get("backbone", {}))
    _check_joined(tree, explicit=chosen is not None)
    trained = strategies_of(tree["strategies"])
    missing = sorted(set(tree.get("learning_curve", ())) - set(trained) - {"none"})
    if missing:
        raise UsageError(f"--learning-curve {missing[0]} is not among the strategies: {', '.join(trained)}, or none.")
    unknown = set(tree.get("settings", {})) - set(STRATEGIES)
    if unknown:
        raise UnknownName("strategy", sorted(unknown)[0], STRATEGIES)
    return validate(Config, tree)


def _check_joined(tree: dict[str, Any], explicit: bool) -> None:
    """Refuse to train joined networks; strategies that nobody named are only those that can use them."""
    model = str(tree.get("backbone", {}).get("model", DEFAULT_MODEL))
    if tree.get("models") or len(split_models(model)) == 1:
        return
    networks = [name for name in tree["strategies"] if STRATEGIES[name].trains_network]
    heads = [name for name in tree["strategies"] if name not in networks]
    if networks and (explicit or not heads):
        possible = ", ".join(name for name, info in STRATEGIES.items() if not info.trains_network)
        raise UsageError(
            f"{networks[0]} trains one network, and --model {model} joins {len(split_models(model))}. Name one, or "
            f"a --strategy that learns from the features of several: {possible}."
        )
    tree["strategies"] = heads


def _put_models(tree: dict[str, Any], named: Any) -> None:
    """One backbone, or several and the trainings that they make of the strategies: of joined ones only heads."""
    models = [named] if isinstance(named, str) else list(named)
    if not models:
        return
    put(tree, "backbone.model", models[0])
    tree["models"] = models if len(models) > 1 else []
    if len(models) == 1:
        tree["strategies"] = strategies_of(tree["strategies"])
        return
    tree["strategies"] = [
        name
        for strategy in strategies_of(tree["strategies"])
        for name, model in zip(all_names([strategy], models), models, strict=True)
        if len(split_models(model)) == 1 or not STRATEGIES[strategy].trains_network
    ]


def _find_weights(backbone: dict[str, Any]) -> None:
    """Name weights on disk by an absolute path; those of a run of topwork come with their model."""
    models = split_models(str(backbone.get("model", DEFAULT_MODEL)))
    if len(models) > 1:
        found = []
        for model, weights in zip(models, split_weights(str(backbone.get("weights", PRETRAINED)), models), strict=True):
            network = {"model": model, "weights": weights}
            _find_weights(network)
            found.append(network["weights"])
        backbone["weights"] = PRETRAINED if {*found} == {PRETRAINED} else JOIN.join(found)
        return
    path = Path(backbone.get("weights", PRETRAINED))
    if path.is_dir():
        from topwork.inference.locate import locate_bundle

        trained = [name for name, info in STRATEGIES.items() if info.trains_network]
        path = locate_bundle(path, trained).bundle / "weights.safetensors"
    if not path.is_file():
        return
    backbone["weights"] = str(path.resolve())
    if path.name == "weights.safetensors" and (path.parent / "model.json").is_file():
        stored = read_json(path.parent / "model.json")
        backbone.setdefault("model", stored["model"])
        if not STRATEGIES[stored["strategy"]].trains_network:
            raise UsageError(
                f"--weights {path}: {stored['strategy']} trained only a head; its backbone is as it was before. Give a "
                "run of finetune or scratch, or the weights that it started from."
            )


def _check_strategies(names: Any) -> None:
    if not isinstance(names, list | tuple) or not names:
        raise ConfigError(f"strategies must be a list of names, got {names!r}.")
    for name in names:
        if strategy_of(str(name)) not in STRATEGIES:
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
        raise UsageError(_unused_option(option, strategies_of(strategies), value))
    for strategy in targets:
        put(tree, f"settings.{strategy}.{name}", value)


def _unused_option(option: Option, strategies: Sequence[str], value: Any) -> str:
    own = [f"--set {name}.{option.name}={value}" for name in strategies if name in option.strategies]
    if own:
        return (
            f"With several strategies {option.flag_name} is for those that train on images "
            f"({', '.join(option.networks)}); none of them is requested. Remove it, or use {' '.join(own)}."
        )
    known = ", ".join(option.strategies)
    return f"{option.flag_name} is a setting of {known}; it does not apply to {', '.join(strategies)}. Remove it."


def describe_settings(config: Config) -> list[str]:
    """One line for each explicit option of strategies that only some of the strategies use."""
    lines = []
    for option in all_options().values():
        strategies = strategies_of(config.strategies)
        known = [name for name in strategies if name in option.strategies]
        users = [name for name in known if option.name in config.settings[name].model_fields_set]
        if users and len(users) < len(strategies):
            rest = "".join(f"; {name} has its own, --set {name}.{option.name}" for name in known if name not in users)
            lines.append(f"Settings  {option.flag_name} is used by {', '.join(users)}{rest}")
    return lines


def describe_metric(config: Config, manifest: Manifest) -> str:
    """The line about the metric that decides; empty for accuracy where nothing speaks against it."""
    from topwork.evaluation import target_metric  # scipy takes a while to load

    if config.metric != "auto":
        return f"Metric    {target_metric.NAMES[config.metric]} decides what is chosen and compared"
    advice = target_metric.advice(Counter(row.label for row in manifest.used))
    return f"Metric    accuracy decides what is chosen and compared; {advice}" if advice else ""


def _merge(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def requested_config(folder: Path, kind: str) -> Config:
    """The configuration that a run or a comparison was started with.

    Raises:
        UsageError: The folder is of another kind, or a run that a comparison has made.
    """
    info, top = read_run_info(folder), commands.resumable_folder(folder)
    if info.kind != kind or top != folder:
        part = "part of a comparison" if top != folder else f"a {info.kind}"
        raise UsageError(f"{folder} is {part}. Resume with: {commands.resume(folder)}")
    return validate(Config, info.details["config"])


def refuse_changes(new: Config, old: Config, folder: Path) -> None:
    """Refuse all changes but more epochs of a single run, whose schedule then stretches, hardware, and another path.

    Whether the images at that path are the same is seen when they are read.
    """
    allowed = {"data.path", *(f"compute.{name}" for name in ("device", "workers", "threads", "fsdp"))}
    if more_epochs(new, folder):
        allowed.add(f"settings.{new.strategies[0]}.epochs")
    changed = [text for name, text in configuration.differences(old, new).items() if name not in allowed]
    if changed:
        raise SettingsChanged(
            f"{folder} was started with other settings ({'; '.join(changed)}). Resume without them, or choose another "
            "--out for a new run."
        )


def more_epochs(requested: Config, folder: Path) -> int | None:
    """The requested epochs, if they are not those a run was started with, and no fewer than planned."""
    info, path, name = read_run_info(folder), folder / "config.toml", requested.strategies[0]
    old, new = validate(Config, info.details["config"]), _explicit_epochs(requested, name)
    if info.kind != "run" or not path.is_file() or new is None or new == _explicit_epochs(old, name):
        return None
    planned = _explicit_epochs(configuration.read(path), name)
    return new if planned is not None and new >= planned else None


def _explicit_epochs(config: Config, strategy: str) -> int | None:
    epochs = config.settings[strategy].model_dump(exclude_unset=True).get("epochs")
    return epochs if isinstance(epochs, int) else None
