"""Tensors of a file as those of a network: without the prefix of a training, and converted as timm converts them."""

from __future__ import annotations

import itertools
import logging
import re
import threading
import warnings
from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from topwork.backbones.architecture import Architecture
from topwork.backbones.torch_files import Tensors
from topwork.core.errors import WeightsError

MIN_SHARE = 0.5  # of a network's tensors that a prefix must be shared by
AVERAGED = re.compile(r"(^|[._])(ema|teacher)[._]")  # the running average of a training, which comes first
_PATCHED = threading.Lock()


def match(
    tensors: Tensors, own: Tensors, architecture: Architecture, kwargs: dict[str, Any], lenient: bool = False
) -> tuple[Tensors, str]:
    """The tensors of a network from those of a file.

    They are taken as they are where names and shapes are equal, else converted by timm, which renames those of other
    layouts and resamples position embeddings. What belongs to a classifier is ignored.

    Args:
        tensors: Of the file.
        own: Of the network.
        architecture, kwargs: How the network was made.
        lenient: timm made the file, and decides what fits.

    Returns:
        The tensors by the names in ``own``, and what was done for people; may be empty.

    Raises:
        WeightsError: The network has tensors that the file lacks, or the file has more layers than the network.
    """
    head = {name.partition(".")[0] for name in _classifiers(architecture)}
    layers = {name.partition(".")[0] for name in own} - head
    found = {prefix: _under(prefix, tensors) for prefix in ([""] if lenient else _prefixes(tensors, own))}
    for prefix, named in found.items():
        equal = all(name in named and named[name].shape == tensor.shape for name, tensor in own.items())
        if equal and (lenient or not _unknown(named, named.keys() - own.keys(), layers)):
            return {name: named[name] for name in own}, _describe(prefix)
    failures = []
    for prefix, named in found.items():
        tried = f"without the prefix {prefix!r}" if prefix else "with the names as they are"
        try:
            converted, missing, unexpected = _convert(named, architecture, kwargs)
        except Exception as error:  # timm's conversions raise many kinds on a file that they are not for
            missing, unexpected = _differences(named, own), []
            failures.append((len(missing), f"{tried}, not fitting: {_list(missing)} ({_reason(error)})"))
            continue
        unknown = _unknown(named, unexpected, layers)
        if lenient or not (missing or unknown):
            resized = [name for name in own if name in named and named[name].shape != own[name].shape]
            return converted, _describe(prefix, resized, converted=any(name not in named for name in own))
        what = f"missing: {_list(missing)}" if missing else f"not in the network: {_list(unknown)}"
        failures.append((len(missing) + len(unknown), f"{tried}, {what}"))
    failures.sort(key=lambda failure: failure[0])
    raise WeightsError(
        f"does not match the model. Tried, each also as timm converts it: "
        f"{'; '.join(text for _, text in failures[:3])}. Choose the --model that the file was made with."
    )


def _convert(
    tensors: Tensors, architecture: Architecture, kwargs: dict[str, Any]
) -> tuple[Tensors, list[str], list[str]]:
    """The tensors as timm loads them into a network, with the names of missing and of unexpected ones.

    timm gives no access to the filter functions of its models but through its own loading, and does not return what
    ``load_state_dict`` returns there; so that is recorded.
    """
    results: dict[int, Any] = {}
    load = nn.Module.load_state_dict

    def record(module: nn.Module, *args: Any, **options: Any) -> Any:
        results[id(module)] = result = load(module, *args, **options)
        return result

    logging.getLogger("timm").setLevel(logging.ERROR)  # its messages are about names, which are checked here
    overlay = {"state_dict": tensors, "source": None, "custom_load": False}
    with _PATCHED, torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        setattr(nn.Module, "load_state_dict", record)  # noqa: B010 - a method of torch
        try:
            module = architecture.create(pretrained=True, pretrained_cfg_overlay=overlay, **kwargs)
        finally:
            setattr(nn.Module, "load_state_dict", load)  # noqa: B010
    missing, unexpected = results[id(module)]
    return module.state_dict(), missing, unexpected


def _prefixes(tensors: Tensors, own: Tensors) -> list[str]:
    """None, and those that many tensors share but none of the network's; those of a running average first."""
    shared: Counter[str] = Counter()
    for name in tensors:
        shared.update(itertools.accumulate(f"{part}." for part in name.split(".")[:-1]))
    wrappers = [
        prefix
        for prefix, count in shared.items()
        if count >= MIN_SHARE * len(own) and not any(name.startswith(prefix) for name in own)
    ]
    return sorted(["", *wrappers], key=lambda prefix: (not AVERAGED.search(prefix), prefix.count(".")))


def _under(prefix: str, tensors: Tensors) -> Tensors:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _unknown(tensors: Tensors, names: Iterable[str], layers: set[str]) -> list[str]:
    """Those of the names that belong to layers that the network should have; counters do not."""
    return [
        name
        for name in names
        if name.partition(".")[0] in layers and (tensors.get(name) is None or tensors[name].numel() > 1)
    ]


def _classifiers(architecture: Architecture) -> tuple[str, ...]:
    names = architecture.config.classifier or ()
    return (names,) if isinstance(names, str) else tuple(names)


def _differences(tensors: Tensors, own: Tensors) -> list[str]:
    return [name for name in own if name not in tensors or tensors[name].shape != own[name].shape]


def _list(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[-1:])[:200]}"


def _describe(prefix: str, resized: list[str] | None = None, converted: bool = False) -> str:
    parts = [f"names without the prefix {prefix!r}"] if prefix else []
    if resized:
        parts.append(f"{_list(resized)} resampled")
    if converted:
        parts.append("layout converted by timm")
    return ", ".join(parts)
