"""How much training changed each layer: what it answers, and its weights.

What it answers is compared by centred kernel alignment with a linear kernel (CKA; Kornblith et al. 2019, arXiv
1905.00414), summed up over minibatches (Nguyen et al. 2021, arXiv 2010.15327) with the unbiased estimator HSIC_1 of
Song et al. 2012 (JMLR 13). HSIC_1 is written as an inner product of U-centred Gram matrices (Székely & Rizzo 2014,
arXiv 1310.2926), so that CKA is the cosine of the angle between them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from topwork.core.errors import DataError, UsageError
from topwork.explain.layers import Layer, plain
from topwork.explain.survey import at_last_calls

FEWEST = 4  # images in a batch; HSIC_1 is not defined for fewer
NOISE = 1e-12  # share of the squared length below which differences between images are rounding
BLOCK = 1 << 18  # numbers held in float64 at once
ADVICE = "compare networks of one architecture."


@dataclass(frozen=True)
class LayerChange:
    """One layer in two networks.

    Attributes:
        layer: Name.
        cka: Similarity of its answers to the same images, in [0, 1]; 1 if they are equal up to rotation, one common
            scale and shift. Of a layer that answers the same to every image: 1 if it does so in both networks, else 0.
        weight: |w - w0| / |w0| over all parameters of the module and those below it; None if there are none, or if all
            were 0.
    """

    layer: str
    cka: float
    weight: float | None


def changes(
    before: nn.Module, after: nn.Module, layers: Sequence[Layer], batches: Iterable[torch.Tensor]
) -> list[LayerChange]:
    """Compare two networks of one architecture layer by layer; memory does not grow with the number of images.

    Args:
        before, after: Backbones on one device; in eval mode afterwards.
        layers: From ``list_layers``; of a layer that is called several times the last output counts.
        batches: Normalised images (B, 3, S, S) on their device. A batch of fewer than 4 is left out; the others count
            by their number of images.

    Returns:
        One entry per layer, in their order.

    Raises:
        DataError: No batch has 4 images.
        UsageError: The networks are not of one architecture, or an output has no row per image.
    """
    before, after = plain(before).eval(), plain(after).eval()
    weights = {layer.name: _distance(before, after, layer.name) for layer in layers}
    sums = {layer.name: torch.zeros(3, dtype=torch.float64) for layer in layers}  # of (before, after), and with itself
    empty = True
    for x in batches:
        if len(x) < FEWEST:
            continue
        empty = False
        first, second = _grams(before, layers, x), _grams(after, layers, x)
        for name, k in first.items():
            m = second[name]
            products = torch.stack([(k * m).sum(), k.square().sum(), m.square().sum()]).cpu()
            sums[name] += products / (len(x) - 3)  # B times HSIC_1, which is their sum / (B (B - 3))
    if empty:
        raise DataError(f"Networks are compared over batches of at least {FEWEST} images; there is none. Give more.")
    return [LayerChange(layer.name, _cka(*sums[layer.name].tolist()), weights[layer.name]) for layer in layers]


def _cka(between: float, first: float, second: float) -> float:
    if first == 0 or second == 0:
        return float(first == second)
    return min(1.0, max(0.0, between / math.sqrt(first) / math.sqrt(second)))


def _grams(module: nn.Module, layers: Sequence[Layer], x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Layer name to the U-centred Gram matrix float64 (B, B) of its outputs."""
    found: dict[str, torch.Tensor] = {}

    def look(layer: Layer, output: torch.Tensor) -> None:
        if len(output) != len(x):
            raise UsageError(f"Layer {layer.name} does not give one row per image; leave it out.")
        found[layer.name] = _u_centred(_gram(output))

    with torch.inference_mode(), at_last_calls(module, layers, look):
        module(x)
    return found


def _gram(output: torch.Tensor) -> torch.Tensor:
    """Inner products float64 (B, B) of outputs (B, ...), each less that of the first image.

    U-centring takes out any common shift. Taking it out beforehand keeps digits, and of equal rows leaves exact zeros.
    """
    if not output.is_contiguous():
        output = output.movedim(1, -1)  # the order of features does not matter, but reading in memory order is quick
    rows = output.flatten(1)
    if rows.device.type == "mps":  # has no float64
        rows = rows.cpu()
    gram = rows.new_zeros(len(rows), len(rows), dtype=torch.float64)
    length = gram.new_zeros(())
    for part in rows.split(max(1, BLOCK // len(rows)), dim=1):
        values = part.double()
        length += values.square().sum()
        values = values - values[:1]
        gram += values @ values.T
    return gram if gram.trace() > NOISE * length else gram.zero_()


def _u_centred(gram: torch.Tensor) -> torch.Tensor:
    n = len(gram)
    gram = gram.clone().fill_diagonal_(0)
    rows = gram.sum(dim=1)
    centred = gram - rows[:, None] / (n - 2) - rows / (n - 2) + rows.sum() / ((n - 1) * (n - 2))
    return centred.fill_diagonal_(0)


def _distance(before: nn.Module, after: nn.Module, name: str) -> float | None:
    try:
        old, new = (dict(module.get_submodule(name).named_parameters()) for module in (before, after))
    except AttributeError:
        raise UsageError(f"Only one of the networks has a layer {name}; {ADVICE}") from None
    if {key: w.shape for key, w in old.items()} != {key: w.shape for key, w in new.items()}:
        raise UsageError(f"The weights of layer {name} differ in shape; {ADVICE}")
    moved = sum(float((new[key].detach().double() - w.detach().double()).square().sum()) for key, w in old.items())
    length = sum(float(w.detach().double().square().sum()) for w in old.values())
    return math.sqrt(moved / length) if length else None
