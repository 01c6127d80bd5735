"""Parameters in groups: layers with learning rates of their own, and blocks that are sharded together."""

from __future__ import annotations

from collections import Counter
from typing import Any

import timm.optim
from timm.models import group_parameters
from torch import nn

_CONTAINERS = (nn.ModuleList, nn.ModuleDict)  # they compute nothing themselves
MAX_LAYER_DECAY_STEPS = 16  # those of resnet50; deeper networks spread as many over their layers
MIN_BLOCK_SHARE = 0.01  # of all parameters; smaller modules stay with the module that contains them


def layer_groups(module: nn.Module, weight_decay: float, layer_decay: float) -> list[dict[str, Any]]:
    """Split the parameters of a backbone into groups by depth.

    Args:
        module: A backbone made by ``create``.
        weight_decay: Of all but one-dimensional parameters (biases, normalization) and those that timm's
            ``no_weight_decay`` names (position embeddings, class tokens).
        layer_decay: Factor per layer from the last to the first, in (0, 1]; never more than
            ``MAX_LAYER_DECAY_STEPS`` of it in all, so that the first layers of a deep network learn too.

    Returns:
        Groups with ``params``, ``weight_decay`` and ``lr_scale`` in (0, 1], for the optimizer and the schedule.
    """
    undecayed: Any = getattr(module, "no_weight_decay", tuple)()
    matcher: Any = getattr(module, "group_matcher", None)
    if matcher:
        layers: Any = group_parameters(module, matcher(coarse=False), reverse=True)
        factor = layer_decay ** min(1.0, MAX_LAYER_DECAY_STEPS / max(1, *layers.values()))
        groups = timm.optim.param_groups_layer_decay(module, weight_decay, undecayed, layer_decay=factor)
    else:
        groups = timm.optim.param_groups_weight_decay(module, weight_decay, no_weight_decay_list=undecayed)
    return [
        {"params": g["params"], "weight_decay": g["weight_decay"], "lr_scale": g.get("lr_scale", 1.0)} for g in groups
    ]


def blocks(module: nn.Module) -> list[nn.Module]:
    """The larger items of a network's sequences and lists that have layers and weights of their own, inner ones first.

    Args:
        module: Of any family; one without sequences has no blocks.
    """
    containers = [inner for inner in module.modules() if isinstance(inner, (nn.Sequential, nn.ModuleList))]
    items = {item for container in containers for item in container if next(item.children(), None)}
    min_size, uses = MIN_BLOCK_SHARE * _size(module), _uses(module)
    inner_first = reversed([m for m in module.modules() if m in items and not isinstance(m, _CONTAINERS)])
    return [block for block in inner_first if _size(block) >= min_size and _uses(block).items() <= uses.items()]


def _uses(module: nn.Module) -> Counter[nn.Parameter]:
    """How often each parameter occurs; those of a block must not occur outside of it."""
    return Counter(parameter for _, parameter in module.named_parameters(remove_duplicate=False))


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
