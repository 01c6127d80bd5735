"""Commands that messages and pages print: as they can be pasted into a shell. Imports no torch.

Nor pydantic, until a command has settings: every decoder process imports this module.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topwork.core.artifacts import RunInfo, read_run_info
from topwork.core.errors import TopworkError
from topwork.core.names import strategies_of
from topwork.core.options import option_names, options

if TYPE_CHECKING:
    from topwork.core.config import Config, DataConfig


def command(name: str, *words: object) -> str:
    """``topwork NAME WORDS``, quoted for a shell; a ``Path`` is not taken for an option.

    >>> command("show", Path("-my run"), "--layer", "a")
    "topwork show './-my run' --layer a"
    """
    texts = [as_argument(word) if isinstance(word, os.PathLike) else str(word) for word in words]
    return shlex.join(["topwork", name, *texts])


def as_argument(path: str | os.PathLike[str]) -> str:
    """A path that is not taken for an option: ``./-x`` for ``-x``."""
    text = os.fspath(path)
    return f"./{text}" if text.startswith("-") else text


_UNPACKERS = {
    ".zip": "unzip -q {path} -d {folder}",
    ".7z": "7z x {path} -o{folder}",
    ".rar": "unrar x {path} {folder}/",
    "": "mkdir {folder} && tar -xf {path} -C {folder}",
}


def unpack(archive: str | os.PathLike[str]) -> str:
    """Unpacks an archive into a folder beside it and checks the images.

    >>> unpack("my photos.zip")
    "unzip -q 'my photos.zip' -d 'my photos' && topwork check 'my photos'"
    """
    path = as_argument(archive)
    suffix = os.path.splitext(path)[1].lower()
    folder = re.sub(r"(\.tar)?\.\w+$", "", path)
    pattern = _UNPACKERS.get(suffix, _UNPACKERS[""])
    return f"{pattern.format(path=shlex.quote(path), folder=shlex.quote(folder))} && {command('check', folder)}"


def write_arrays(code: str, path: str | os.PathLike[str]) -> str:
    r"""Runs Python code that writes arrays, and checks the images in them.

    >>> write_arrays('import numpy; numpy.savez("a.npz", x=..., y=...)', "a.npz")
    'python -c \'import numpy; numpy.savez("a.npz", x=..., y=...)\' && topwork check a.npz'
    """
    return f"{shlex.join(['python', '-c', code])} && {command('check', as_argument(path))}"


def resumable_folder(folder: str | os.PathLike[str]) -> Path:
    """The folder itself, or that of the comparison that has trained the run in it."""
    path = Path(folder)
    for above in ("..", "../../.."):  # COMPARISON/STRATEGY, COMPARISON/repeats/seed-1/STRATEGY
        comparison = Path(os.path.normpath(path / above))
        info = _info(comparison)
        if info and info.kind == "comparison" and path.resolve().name in info.strategies:
            return comparison
    return path


def resume(folder: str | os.PathLike[str], *words: object) -> str:
    """Resumes what was interrupted in a folder, with all its settings; lists the runs if it has none."""
    path = resumable_folder(folder)
    info = _info(path)
    if info is None:
        return command("runs")
    return command("compare" if info.kind == "comparison" else "train", "--resume", path, *words)


def training(kind: str, config: Config, default_strategies: Sequence[str] = (), *words: object) -> str:
    """Trains what is configured, in a new folder.

    Args:
        kind: ``"run"`` or ``"comparison"``.
        config: As requested.
        default_strategies: Those that a comparison trains if it names none.
        words: Further options.
    """
    strategies = tuple(strategies_of(config.strategies))
    named = [word for model in config.models for word in ("--model", model)]
    if strategies != tuple(default_strategies):
        named += [word for name in strategies for word in ("--strategy", name)]
    name = "compare" if kind == "comparison" else "train"
    return command(name, as_argument(config.data.path), *named, *_settings(config, option_names(name)), *words)


def data_command(config: DataConfig, path: str, words: Sequence[str], verb: str = "check") -> str:
    """Reads data in the way that some options say, with all other options that the configuration has.

    Args:
        config: As requested.
        path: Of the data, or of a part of them.
        words: The options, which replace those that would contradict them.
        verb: The command.
    """
    given = {word[2:].replace("-", "_") for word in words if word.startswith("--")}
    given |= {word.partition("=")[0].removeprefix("data.") for word in words if word.startswith("data.")}
    for option, replaced in _REPLACED.items():
        given |= replaced if option in given else frozenset()
    flags = {name: options()[name] for name in option_names("data")}
    base, more = type(config)(path=config.path).model_dump(mode="json"), list[str]()
    for name, value in config.model_dump(mode="json").items():
        if value == base[name] or name in given:
            continue
        if name in flags:
            more += [flags[name].flag_name, *([] if flags[name].type is bool else [str(value)])]
        else:
            more += ["--set", _assignment(f"data.{name}", value)]
    return command(verb, as_argument(path), *words, *more)


_REPLACED = {
    "label_from": {"source", "layout", "labels_from_path", "table", "path_column", "label_column", "crop_to_box"},
    "layout": {"source", "table", "path_column", "label_column", "label_from", "crop_to_box"},
    "table": {"source", "layout", "labels_from_path", "label_from"},
    "source": {"layout", "labels_from_path", "label_from"},
}
"""Option to those that it makes pointless or impossible."""


def check(config: Config) -> str:
    """Checks the images of a configuration."""
    names = option_names("data", "model", "weights", "seed")
    return command("check", as_argument(config.data.path), *_settings(config, names, "data."))


def _info(folder: Path) -> RunInfo | None:
    try:
        return read_run_info(folder)
    except (TopworkError, OSError):
        return None


def _settings(config: Config, names: Iterable[str], section: str = "") -> Iterable[str]:
    """The words of all settings that differ from the defaults: flags of these names, else ``--set`` for a section."""
    flags = _flags(config, names)
    explicit = _changed(config)
    for words in flags.values():
        yield from words
    for path, value in explicit.items():
        if path not in flags and path.startswith(section):
            yield from ("--set", _assignment(path.removeprefix("settings."), value))


def _flags(config: Config, names: Iterable[str]) -> dict[str, list[str]]:
    """The path of each setting in the configuration that a flag sets, and the words of the flag."""
    changed, found = _changed(config), dict[str, list[str]]()
    for option in (options()[name] for name in names):
        paths = [option.path]
        if option.strategies:
            paths = [f"settings.{name}.{option.name}" for name in option.targets(config.strategies)]
        values = [changed.get(path) for path in paths]
        if not values or values[0] is None or any(value != values[0] for value in values):
            continue
        words = [option.flag_name]
        if option.type is not bool:
            several = values[0] if isinstance(values[0], list) else [values[0]]
            words = [word for value in several for word in (option.flag_name, str(value))]
        found |= {path: [] for path in paths} | {paths[0]: words}
    return found


def _changed(config: Config) -> dict[str, Any]:
    """The settings that differ from the defaults, and the explicit ones of strategies, by their paths."""
    from topwork.core.config import flatten

    plain: dict[str, Any] = {"data": {"path": config.data.path}, "strategies": config.strategies}
    if config.models:
        plain |= {"models": config.models, "backbone": {"model": config.models[0]}}
    base = flatten(type(config).model_validate(plain))
    return {path: value for path, value in flatten(config).items() if path not in base or value != base[path]}


def _assignment(name: str, value: Any) -> str:
    """``NAME=VALUE`` for ``--set``; text has quotation marks only where it would be read as something else."""
    from topwork.core.config import parse_assignment

    plain = f"{name}={value}"
    same = isinstance(value, str) and parse_assignment(plain) == (name, value)
    return plain if same else f"{name}={json.dumps(value, ensure_ascii=False)}"
