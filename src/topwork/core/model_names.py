"""``--model A+B+C``: the names of networks that are joined, and the weights of each."""

from __future__ import annotations

import re

from topwork.core.errors import UsageError

JOIN = "+"
PRETRAINED = "pretrained"


def split_models(model: str) -> tuple[str, ...]:
    """The names of the joined networks; one name of a single network.

    Raises:
        UsageError: A name is empty or occurs twice.

    >>> split_models("resnet18+vit_tiny_patch16_224")
    ('resnet18', 'vit_tiny_patch16_224')
    """
    names = tuple(model.split(JOIN))
    if len(names) > 1 and not all(names):
        raise UsageError(f"--model {model} has an empty name; networks are joined as A+B.")
    if len({*map(module_name, names)}) < len(names):
        raise UsageError(f"--model {model} names a network twice; its features would be the same.")
    return names


def split_weights(weights: str, models: tuple[str, ...]) -> tuple[str, ...]:
    """The weights of each network: ``"pretrained"`` is for all, files are joined like the networks.

    Raises:
        UsageError: There are more or fewer files than networks.
    """
    if len(models) == 1 or weights == PRETRAINED:
        return (weights,) * len(models)
    found = tuple(weights.split(JOIN))
    if len(found) != len(models):
        raise UsageError(
            f"--weights {weights} is for {len(found)} of {len(models)} networks. Give one for each, as A+B+C in the "
            "order of --model; 'pretrained' is one too."
        )
    return found


def module_name(model: str) -> str:
    """What a network is called inside of a joined one."""
    return re.sub(r"\W", "_", model)
