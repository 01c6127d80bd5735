"""A network by its name: timm's, with or without a tag, or ``hf-hub:OWNER/NAME`` for one on the Hugging Face hub."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import huggingface_hub
import timm
import timm.models
from huggingface_hub.errors import EntryNotFoundError
from timm.models import PretrainedCfg
from torch import nn

from topwork.core.errors import UnknownName, UsageError, WeightsError

HUB = "hf-hub:"


@dataclass(frozen=True)
class Architecture:
    """How timm makes a network.

    Attributes:
        name: timm name.
        args: Keyword arguments of it that a model on the hub was made with.
        hub_config: timm's description of the weights of a model on the hub.
    """

    name: str
    args: dict[str, Any] = field(default_factory=dict)
    hub_config: dict[str, Any] | None = None

    @property
    def config(self) -> PretrainedCfg:
        """The weights it comes with, and their input; the defaults for a model without."""
        if self.hub_config:
            return PretrainedCfg(**self.hub_config)
        return timm.get_pretrained_cfg(self.name) or PretrainedCfg()

    @property
    def on_hub(self) -> dict[str, Any] | None:
        """What a bundle stores so that it can be used without the hub; None for a network of timm's list."""
        return {"name": self.name, "args": self.args} if self.hub_config else None

    def create(self, **kwargs: Any) -> nn.Module:
        """The network; see ``timm.create_model``."""
        options: dict[str, Any] = self.args | kwargs
        if self.hub_config:
            options |= {"pretrained_cfg": self.hub_config, "pretrained_model_args": self.args}
        return timm.create_model(self.name, **options)


def find_architecture(model: str, on_hub: Mapping[str, Any] | None = None) -> Architecture:
    """The network of a name.

    Args:
        model: timm name, or ``hf-hub:OWNER/NAME``.
        on_hub: ``Architecture.on_hub`` of a bundle.

    Raises:
        UnknownName: timm does not have it; with the five nearest names.
        UsageError: timm has it, but no weights with this tag.
        WeightsError: The hub does not have it, or cannot be reached.
    """
    if on_hub:
        return Architecture(**on_hub)
    if model.startswith(HUB):
        return _on_hub(model.removeprefix(HUB))
    name, _, tag = model.partition(".")
    if "/" in model or not timm.is_model(model):
        hint = f"`topwork models` lists them; one on the Hugging Face hub is called {HUB}OWNER/NAME."
        raise UnknownName("model", model, timm.list_models(), hint)
    tags = [cfg.tag for cfg in timm.models.get_arch_pretrained_cfgs(name).values() if cfg.tag]
    if tag and tag not in tags:
        known = f"there are {', '.join(tags)}" if tags else "it has none"
        raise UsageError(f"{name} has no pretrained weights called {tag!r}; {known}. Write NAME or NAME.TAG.")
    return Architecture(model)


def _on_hub(repository: str) -> Architecture:
    try:
        fetch(repository, "config.json")
        config, name, args = timm.models.load_model_config_from_hf(repository)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"its config.json does not describe a timm model ({type(error).__name__})"
    except Exception as error:  # hub, network and file errors have no common base
        reason = f"its config.json is not cached and could not be downloaded ({type(error).__name__})"
    else:
        if timm.is_model(name):
            return Architecture(name, dict(args or {}), config | {"architecture": name, "source": None})
        reason = f"this timm has no architecture {name!r}; update timm"
    raise WeightsError(f"{HUB}{repository} cannot be used: {reason}.")


def fetch(hub: str, *names: str, download: bool = True) -> Path:
    """The first of some files of a repository on the hub, from its cache or downloaded.

    It fails within seconds where the hub's own retries would take minutes.

    Args:
        hub: ``OWNER/NAME`` or ``OWNER/NAME@REVISION``.
        names: Files, the preferred one first.
        download: Whether the hub is asked for what the cache does not have.

    Raises:
        Exception: Of many kinds: the hub cannot be reached, or has no such file.
    """
    repository, _, revision = hub.partition("@")
    where = {"revision": revision or None}
    for name in names:
        cached = huggingface_hub.try_to_load_from_cache(repository, name, **where)
        if isinstance(cached, str):
            return Path(cached)
    if not download:
        raise FileNotFoundError(f"{hub} is not in the cache")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # do not log its retries
    url = huggingface_hub.hf_hub_url(repository, "config.json", **where)
    huggingface_hub.get_hf_file_metadata(url, timeout=5, retry_on_errors=False)
    for name in names:
        with contextlib.suppress(EntryNotFoundError):
            return Path(huggingface_hub.hf_hub_download(repository, name, **where))
    raise FileNotFoundError(f"{hub} has none of {', '.join(names)}")
