"""How much training changed each layer: its activations and its weights.

Activations are compared by linear centered kernel alignment (CKA; Kornblith et al. 2019, arXiv 1905.00414), summed over
minibatches (Nguyen et al. 2021, arXiv 2010.15327) with the unbiased estimator HSIC_1 of Song et al. 2012 (JMLR 13).
HSIC_1 is written as an inner product of U-centered Gram matrices (Székely & Rizzo 2014, arXiv 1310.2926), so that CKA
is the cosine of the angle between them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from topwork.core.errors import DataError, UsageError
from topwork.explain.layers import Layer, hook_last_calls, unwrap
from topwork.report.show_data import LayerChange

MIN_BATCH = 4  # images; HSIC_1 is not defined for fewer
RELATIVE_EPS = 1e-12  # share of the squared length below which differences between images are rounding
BLOCK = 1 << 18  # float64 values in memory at a time


def compare_layers(
    before: nn.Module, after: nn.Module, layers: Sequence[Layer], batches: Iterable[torch.Tensor]
) -> list[LayerChange]:
    """Compare two networks of one architecture layer by layer; memory does not grow with the number of images.

    Args:
        before, after: Backbones on one device; in eval mode afterwards.
        layers: From ``list_layers``; a layer that is called several times is compared by its last output.
        batches: Normalized images (B, 3, S, S) on their device. Batches of fewer than 4 images are skipped; the others
            count by their number of images.

    Returns:
        One entry per layer, in their order. CKA is in [0, 1]; it is 1 if the activations are equal up to rotation, one
        common scale and shift. For a layer whose output is the same for every image it is 1 if that holds in both
        networks, else 0. ``weight`` is |w - w0| / |w0| over all parameters in the module, None if w0 is empty or 0.

    Raises:
        DataError: No batch has 4 images.
        UsageError: The architectures differ, or an output has no row per image.

    >>> from topwork.explain import list_layers
    >>> module, x = nn.Sequential(nn.Conv2d(3, 8, 3)), torch.rand(6, 3, 8, 8)
    >>> [change] = compare_layers(module, module, list_layers(module, x), [x])
    >>> change.layer, round(change.cka, 6), change.weight
    ('0', 1.0, 0.0)
    """
    before, after = unwrap(before).eval(), unwrap(after).eval()
    weights = {layer.name: _weight_change(before, after, layer.name) for layer in layers}
    sums = {layer.name: torch.zeros(3, dtype=torch.float64) for layer in layers}  # of (before, after), and with itself
    images = 0
    for x in batches:
        if len(x) < MIN_BATCH:
            continue
        images += len(x)
        first, second = _grams(before, layers, x), _grams(after, layers, x)
        for name, k in first.items():
            m = second[name]
            products = torch.stack([(k * m).sum(), k.square().sum(), m.square().sum()]).cpu()
            sums[name] += products / (len(x) - 3)  # B times HSIC_1, which is their sum / (B (B - 3))
    if not images:
        raise DataError(f"Networks are compared on batches of at least {MIN_BATCH} images; pass more images.")
    return [LayerChange(layer.name, _cka(*sums[layer.name].tolist()), weights[layer.name]) for layer in layers]


def _cka(between: float, first: float, second: float) -> float:
    if first == 0 or second == 0:
        return float(first == second)
    return min(1.0, max(0.0, between / math.sqrt(first) / math.sqrt(second)))


def _grams(module: nn.Module, layers: Sequence[Layer], x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Layer name to the U-centered Gram matrix float64 (B, B) of its outputs."""
    found: dict[str, torch.Tensor] = {}

    def add(layer: Layer, output: torch.Tensor) -> None:
        if len(output) != len(x):
            raise UsageError(f"The output of layer {layer.name} has no row per image; omit the layer.")
        found[layer.name] = _u_centered(_gram(output))

    with torch.inference_mode(), hook_last_calls(module, layers, add):
        module(x)
    return found


def _gram(output: torch.Tensor) -> torch.Tensor:
    """Inner products float64 (B, B) of outputs (B, ...), each less that of the first image.

    U-centring removes any common shift. Removing it first keeps digits, and gives exact zeros for equal rows.
    """
    if not output.is_contiguous():
        output = output.movedim(1, -1)  # the order of features does not matter; reading in memory order is faster
    rows = output.flatten(1)
    if rows.device.type == "mps":  # has no float64
        rows = rows.cpu()
    gram = rows.new_zeros(len(rows), len(rows), dtype=torch.float64)
    length = gram.new_zeros(())
    for block in rows.split(max(1, BLOCK // len(rows)), dim=1):
        values = block.double()
        length += values.square().sum()
        values = values - values[:1]
        gram += values @ values.T
    return gram if gram.trace() > RELATIVE_EPS * length else gram.zero_()


def _u_centered(gram: torch.Tensor) -> torch.Tensor:
    n = len(gram)
    gram = gram.clone().fill_diagonal_(0)
    rows = gram.sum(dim=1)
    centered = gram - rows[:, None] / (n - 2) - rows / (n - 2) + rows.sum() / ((n - 1) * (n - 2))
    return centered.fill_diagonal_(0)


def _float64(parameter: torch.Tensor) -> torch.Tensor:
    """A parameter in float64, on the CPU: an Apple GPU has none."""
    return parameter.detach().cpu().double()


def _weight_change(before: nn.Module, after: nn.Module, name: str) -> float | None:
    advice = "compare networks of one architecture."
    try:
        old, new = (dict(module.get_submodule(name).named_parameters()) for module in (before, after))
    except AttributeError:
        raise UsageError(f"Only one of the networks has a layer {name}; {advice}") from None
    if {key: w.shape for key, w in old.items()} != {key: w.shape for key, w in new.items()}:
        raise UsageError(f"The weights of layer {name} differ in shape; {advice}")
    change = sum(float((_float64(new[key]) - _float64(w)).square().sum()) for key, w in old.items())
    length = sum(float(_float64(w).square().sum()) for w in old.values())
    return math.sqrt(change / length) if length else None
