"""Class activation maps of the networks that are joined, and their sum."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, zip_longest

import numpy as np
import torch

from topwork.explain.attribution import AUTO, ClassActivationMaps, class_activation_maps
from topwork.explain.inspected_model import InspectedModel
from topwork.explain.layers import Layer


def from_last(stages: Sequence[Sequence[Layer]]) -> list[Layer]:
    """The stages of all networks: the last of each, then the last but one of each, ..."""
    return [one for one in chain(*zip_longest(*map(reversed, stages))) if one is not None]


def last_maps(
    model: InspectedModel,
    x: torch.Tensor,
    classes: Sequence[int],
    stages: Sequence[Sequence[Layer]],
    method: str = AUTO,
) -> ClassActivationMaps | None:
    """Maps of the last stage whose positions the score depends on, added over joined networks.

    Args:
        model, x, classes, method: See ``class_activation_maps``.
        stages: From ``stages_by_network``.

    Returns:
        The maps; None if no stage is spatial.
    """
    found = []
    for own in stages:
        maps = None
        for layer in reversed(own):
            maps = class_activation_maps(model, x, classes, layer, method)
            if np.abs(maps.values).max() > 0:  # after the last block only the class token counts
                break
        found += [maps] if maps else []
    return add_maps(found) if found else None


def add_maps(maps: Sequence[ClassActivationMaps]) -> ClassActivationMaps:
    """The sum of the maps of joined networks, on the finest of their grids; exact if all of them are.

    A position of a coarser grid is spread over the positions that it covers, so that its sum is kept.
    """
    if len(maps) == 1:
        return maps[0]
    height, width = (max(one.values.shape[axis] for one in maps) for axis in (2, 3))
    spread = (_spread(one.values.shape[2], height) @ one.values @ _spread(one.values.shape[3], width).T for one in maps)
    values, first = np.sum([*spread], axis=0), maps[0]
    exact = all(one.exact for one in maps)
    bias = first.scores - values.sum(axis=(2, 3)) if exact else np.zeros_like(first.scores)
    methods = " + ".join({one.method: None for one in maps})
    layer = f"sum of {len(maps)} networks"
    return ClassActivationMaps(layer, methods, first.classes, values.astype(np.float32), first.scores, exact, bias)


def _spread(count: int, target: int) -> np.ndarray:
    """The share of each of ``count`` equal intervals that lies in each of ``target`` ones, (target, count).

    >>> _spread(2, 3)
    array([[0.66666667, 0.        ],
           [0.33333333, 0.33333333],
           [0.        , 0.66666667]])
    """
    old, new = np.linspace(0, 1, count + 1), np.linspace(0, 1, target + 1)
    shared = np.minimum(new[1:, None], old[1:]) - np.maximum(new[:-1, None], old[:-1])
    return np.maximum(shared, 0) * count
