"""The blocks that a network is a run of."""

from __future__ import annotations

from torch import nn

_HOLDERS = (nn.ModuleList, nn.ModuleDict)  # they compute nothing themselves
SHARE = 0.01  # of all parameters that a block has at least; smaller ones stay with what they are in


def blocks(module: nn.Module) -> list[nn.Module]:
    """The larger items of a network's sequences and lists that have layers of their own, inner ones first.

    Args:
        module: Of any family; one without sequences has none.
    """
    holders = [part for part in module.modules() if isinstance(part, (nn.Sequential, nn.ModuleList))]
    items = {item for holder in holders for item in holder if next(item.children(), None)}
    least = SHARE * _size(module)
    inner_first = reversed([part for part in module.modules() if part in items])
    return [part for part in inner_first if not isinstance(part, _HOLDERS) and _size(part) >= least]


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
