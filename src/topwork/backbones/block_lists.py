"""The blocks that a network is a run of."""

from __future__ import annotations

from collections import Counter

from torch import nn

_HOLDERS = (nn.ModuleList, nn.ModuleDict)  # they compute nothing themselves
SHARE = 0.01  # of all parameters that a block has at least; smaller ones stay with what they are in


def blocks(module: nn.Module) -> list[nn.Module]:
    """The larger items of a network's sequences and lists that have layers and weights of their own, inner ones first.

    Args:
        module: Of any family; one without sequences has none.
    """
    holders = [part for part in module.modules() if isinstance(part, (nn.Sequential, nn.ModuleList))]
    items = {item for holder in holders for item in holder if next(item.children(), None)}
    least, uses = SHARE * _size(module), _uses(module)
    inner_first = reversed([part for part in module.modules() if part in items and not isinstance(part, _HOLDERS)])
    return [part for part in inner_first if _size(part) >= least and _uses(part).items() <= uses.items()]


def _uses(module: nn.Module) -> Counter[nn.Parameter]:
    """In how many places each weight is; a block's must be in no other."""
    return Counter(parameter for _, parameter in module.named_parameters(remove_duplicate=False))


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
