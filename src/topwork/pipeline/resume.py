"""What a resume may change, and what it must not. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from topwork.core import config as configuration
from topwork.core.artifacts import read_run_info
from topwork.core.config import Config
from topwork.core.errors import SettingsChanged, UsageError
from topwork.core.strategy_config import StrategySettings


def requested_config(folder: Path) -> Config:
    """The configuration that a run was started with."""
    info = read_run_info(folder)
    if info.kind != "run":
        raise UsageError(f"{folder} is a {info.kind}. Resume with: `topwork compare DATA --out {folder} --resume`.")
    return configuration.validate(Config, info.details["config"])


def keep_explicit(again: Config, requested: Config) -> Config:
    """``again`` where it differs from the defaults, else ``requested``: an option left out on resume is no change."""
    base = Config(data=again.data, strategies=again.strategies).model_dump(mode="json")
    merged = requested.model_dump(mode="json")

    def merge(into: dict[str, Any], new: dict[str, Any], default: dict[str, Any]) -> None:
        for key, value in new.items():
            if isinstance(value, dict) and isinstance(into.get(key, {}), dict):
                merge(into.setdefault(key, {}), value, default.get(key, {}))
            elif value != default.get(key):
                into[key] = value

    merge(merged, again.model_dump(mode="json"), base)
    return configuration.validate(Config, merged)


def refuse_changes(new: Config, old: Config, folder: Path) -> None:
    """Refuse all changes but more epochs of a single run, which then resumes with a schedule stretched to them."""
    changed = configuration.differences(old, new)
    more = _more_epochs(new, folder)
    if more:
        changed = [line for line in changed if not line.startswith(f"settings.{new.strategies[0]}.epochs:")]
    if changed:
        raise SettingsChanged(
            f"{folder} was started with other settings ({'; '.join(changed)}). Resume without them, or choose another "
            "--out for a new run."
        )


def _more_epochs(requested: Config, folder: Path) -> int | None:
    """The requested epochs, if they are more than the epochs that the run was planned with."""
    path, name = folder / "config.toml", requested.strategies[0]
    epochs = _explicit_epochs(requested, name)
    if not path.is_file() or len(requested.strategies) > 1 or epochs is None:
        return None
    planned = _explicit_epochs(configuration.read(path), name)
    return epochs if planned is not None and epochs > planned else None


def _explicit_epochs(config: Config, strategy: str) -> int | None:
    epochs = config.settings[strategy].model_dump(exclude_unset=True).get("epochs")
    return epochs if isinstance(epochs, int) else None


def extend(requested: Config, folder: Path) -> None:
    """Plan more epochs for a run, finished or not; a kill in between leaves it resumable as it was."""
    epochs, name = _more_epochs(requested, folder), requested.strategies[0]
    if epochs is None:
        return
    (folder / "metrics.json").unlink(missing_ok=True)  # it is not finished any more
    resolved = configuration.read(folder / "config.toml")
    settings = StrategySettings.complete({name: resolved.settings[name].model_copy(update={"epochs": epochs})})
    configuration.write(resolved.model_copy(update={"settings": settings}), folder / "config.toml")
