"""Parameter groups with smaller learning rates for earlier layers."""

from __future__ import annotations

from typing import Any

import timm.optim
from torch import nn


def layer_groups(module: nn.Module, weight_decay: float, layer_decay: float) -> list[dict[str, Any]]:
    """Split the parameters of a backbone into groups by depth.

    Args:
        module: A backbone made by ``create``.
        weight_decay: Of all but biases and one-dimensional parameters (normalisation).
        layer_decay: Factor per layer from the last to the first, in (0, 1].

    Returns:
        Groups with ``params``, ``weight_decay`` and ``lr_scale`` in (0, 1], for the optimizer and the schedule.
    """
    if hasattr(module, "group_matcher"):
        groups = timm.optim.param_groups_layer_decay(module, weight_decay=weight_decay, layer_decay=layer_decay)
    else:
        groups = timm.optim.param_groups_weight_decay(module, weight_decay=weight_decay)
    return [
        {"params": g["params"], "weight_decay": g["weight_decay"], "lr_scale": g.get("lr_scale", 1.0)} for g in groups
    ]
