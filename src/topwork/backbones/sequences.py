"""The blocks that a network is a run of."""

from __future__ import annotations

from torch import nn

SHARE = 0.01  # of all parameters that a block has at least; smaller ones stay with what they are in


def blocks(module: nn.Module) -> list[nn.Module]:
    """The larger items of a network's sequences and lists that have layers of their own, inner ones first.

    Args:
        module: Of any family; one without sequences has none.
    """
    least = SHARE * sum(parameter.numel() for parameter in module.parameters())
    items = {
        item
        for holder in module.modules()
        if isinstance(holder, (nn.Sequential, nn.ModuleList))
        for item in holder
        if next(item.children(), None) and sum(parameter.numel() for parameter in item.parameters()) >= least
    }
    return [part for part in reversed(list(module.modules())) if part in items and part is not module]
