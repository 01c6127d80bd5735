"""Class activation maps: which positions of an image raise or lower the score of a class.

A map has one signed value per class and position. The methods differ in what they guarantee: ``exact`` decomposes the
score completely, where network and head allow it; Grad-CAM linearizes the network at the image; Recipro-CAM measures
the score of single positions; integrated gradients and occlusion work on pixels instead of a layer. ``faithfulness``
measures whether a map shows what the prediction depends on.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from topwork.backbones.joined import EPSILON, JoinedNetwork
from topwork.core.errors import UnknownName, UsageError
from topwork.explain import captum_methods
from topwork.explain.inspected_model import InspectedModel
from topwork.explain.layers import Layer, first_tensor, hook_last_calls, not_spatial, to_feature_map, unwrap
from topwork.linear.heads import LinearHead

AUTO, INPUT = "auto", "input"
RECIPRO_GRID = 7  # rows and columns of regions, at most
MAX_INPUT_SIDE = 28  # rows of a map over the input
BATCH_SIZE = 32


@dataclass(frozen=True)
class ClassActivationMaps:
    """Maps of some classes for some images.

    Attributes:
        layer: The layer whose positions are meant; ``"input"`` for methods on pixels.
        method: Name of the method, e.g. ``"Grad-CAM"``.
        classes: K' class indices.
        values: float32 (B, K', H, W); positive values raise the score of the class, negative values lower it.
        scores: float64 (B, K') scores of these classes.
        exact: Whether ``values.sum((2, 3)) + bias`` equals ``scores``, up to rounding.
        bias: float64 (B, K'): the part of the score that belongs to no position; 0 if not exact.
    """

    layer: str
    method: str
    classes: tuple[int, ...]
    values: np.ndarray
    scores: np.ndarray
    exact: bool
    bias: np.ndarray


Method = Callable[[InspectedModel, torch.Tensor, tuple[int, ...], Layer], ClassActivationMaps]


def class_activation_maps(
    model: InspectedModel, x: torch.Tensor, classes: Sequence[int], layer: Layer, method: str = AUTO
) -> ClassActivationMaps:
    """Maps of where each class gets its score from.

    The network is left in eval mode and otherwise unchanged: no hook, no gradient, no changed ``requires_grad``.

    Args:
        model: A model with a head.
        x: Normalized images (B, 3, S, S).
        classes: Indices; they need not be predicted ones.
        layer: A spatial layer from ``list_layers`` at this size; ignored by methods on pixels.
        method: A name in ``METHODS``, or ``"auto"``: ``exact`` where it applies, else ``grad-cam``.

    Raises:
        UnknownName: No such method or layer.
        UsageError: No such class, the layer has no spatial positions, or ``exact`` does not apply.
        MissingDependency: The method needs Captum.
    """
    if method != AUTO and method not in METHODS:
        raise UnknownName("method", method, [AUTO, *METHODS])
    model = replace(model, backbone=unwrap(model.backbone).eval())
    if model.head is None:
        model.score(x[:1])  # raises the error for a model without classes
    known = len(model.classes)
    chosen = tuple(int(k) for k in classes)
    unknown = [k for k in chosen if not 0 <= k < known]
    if unknown or not chosen:
        what = f"Class {unknown[0]} does not exist" if unknown else "No class was requested"
        raise UsageError(f"{what}; classes are numbered from 0 to {known - 1}.")
    names = dict(model.backbone.named_modules())
    if layer.name not in names:
        raise UnknownName("layer", layer.name, [name for name in names if name])
    if not layer.is_spatial:
        raise not_spatial(layer)
    with torch.inference_mode(False), torch.enable_grad():  # regardless of the caller's mode
        x = x.detach().to(model.device).clone()
        if method != AUTO:
            return METHODS[method](model, x, chosen, layer)
        with suppress(_NotExact):
            return exact_cam(model, x, chosen, layer)
        return grad_cam(model, x, chosen, layer)


def _maps(
    layer: str, method: str, classes: tuple[int, ...], values: torch.Tensor, scores: torch.Tensor
) -> ClassActivationMaps:
    """Maps (B, K', H, W) that are not exact, with the scores (B, K) of all classes."""
    own = _to_numpy(scores)[:, list(classes)]
    return ClassActivationMaps(layer, method, classes, values.float().cpu().numpy(), own, False, np.zeros_like(own))


def _to_numpy(scores: torch.Tensor) -> np.ndarray:
    return scores.detach().cpu().double().numpy()


def exact_cam(model: InspectedModel, x: torch.Tensor, classes: tuple[int, ...], layer: Layer) -> ClassActivationMaps:
    """Class activation mapping (CAM; Zhou et al. 2016, arXiv 1512.04150): the score as a sum over positions and a bias.

    With features f = mean of A(p) over the H W positions and a score that is linear in f, position p contributes
    ``w . A(p) / (H W)``. A linear SVM sees the signed square root r of the features: since ``r(f) = f / sqrt|f|``,
    channel d of a position contributes ``w_d / scale * A_d(p) / (H W sqrt|f_d|)``, and the sum is the margin without
    its constant. Channels whose values cancel out to a mean near 0 then give large values of both signs.

    Of joined networks the map of a layer is the part of the score that comes from its network, whose features have
    length 1; the other networks' parts are in the bias. ``add_maps`` joins the maps of all networks.

    Raises:
        UsageError: The head is not linear, or the features are not the mean of the layer.
    """
    head = model.head
    # Degree d of the head without its constant: f . gradient = d * score (Euler).
    degree = 1.0 if isinstance(head, nn.Linear) else 0.5 if isinstance(head, LinearHead) else None
    if head is None or degree is None:
        raise _NotExact(f"the head of {model.name} is not linear in the features")
    module, outputs = model.backbone, []
    with (
        torch.no_grad(),
        hook_last_calls(module, [layer], lambda _, output: outputs.append(to_feature_map(output, layer).clone())),
    ):
        features = module(x)
    (positions,) = outputs
    columns = slice(None)
    if isinstance(module, JoinedNetwork):
        columns = module.columns(layer.name)
        positions = positions / positions.mean(dim=(2, 3)).norm(dim=1).clamp(min=EPSILON)[:, None, None, None]
    if not _is_mean(features[:, columns], positions):
        network = module.networks[layer.name.partition(".")[0]] if isinstance(module, JoinedNetwork) else module
        if layer.layout == "tokens" and getattr(network, "global_pool", "") == "token":
            raise _NotExact(
                f"the head of {model.model} gets the class token, not the mean over the positions of {layer.name}"
            )
        raise _NotExact(f"the features are not the mean of {layer.name} over its positions")
    leaf = features.detach().requires_grad_()
    scores = head(leaf)
    gradients = [torch.autograd.grad(scores[:, k].sum(), leaf, retain_graph=True)[0][:, columns] for k in classes]
    weights = torch.stack(gradients, dim=1).cpu().double() / degree / (positions.shape[2] * positions.shape[3])
    values = torch.einsum("bkc,bchw->bkhw", weights, positions.cpu().double())
    own = _to_numpy(scores)[:, list(classes)]
    if isinstance(module, JoinedNetwork):
        bias = own - values.sum(dim=(2, 3)).numpy()
    else:
        with torch.no_grad():
            bias = _to_numpy(head(torch.zeros_like(features)))[:, list(classes)]
    return ClassActivationMaps(layer.name, "exact", classes, values.float().numpy(), own, True, bias)


class _NotExact(UsageError):
    def __init__(self, reason: str) -> None:
        super().__init__(f"An exact class activation map is not possible: {reason}. Use --method grad-cam.")


def _is_mean(features: torch.Tensor, positions: torch.Tensor) -> bool:
    """Whether features (B, D) are the mean of (B, D, H, W), up to the rounding of float32."""
    if features.shape != positions.shape[:2]:
        return False
    tolerance = 1e-5 * positions.abs().amax(dim=(2, 3)).clamp(min=1e-12)
    return bool(((positions.mean(dim=(2, 3)) - features).abs() <= tolerance).all())


def grad_cam(model: InspectedModel, x: torch.Tensor, classes: tuple[int, ...], layer: Layer) -> ClassActivationMaps:
    """Signed Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391).

    The sum of the layer's channels, weighted by the mean gradient of the score over the positions. The original sets
    negative values to 0; here they are kept. After the last attention of a network whose head gets a class token no
    position has a gradient and the map is 0: use an earlier layer.
    """
    leaves: list[torch.Tensor] = []

    def as_leaf(tensor: torch.Tensor) -> torch.Tensor:
        leaves.append(tensor.detach().clone().requires_grad_())
        return leaves[-1].clone()  # later layers may overwrite it in place

    with _replacing_output(model.backbone, layer, as_leaf):
        scores = model.score(x)
    positions = to_feature_map(leaves[-1].detach(), layer)
    values = []
    for k in classes:
        (gradient,) = torch.autograd.grad(scores[:, k].sum(), leaves[-1], retain_graph=True, allow_unused=True)
        gradient = torch.zeros_like(leaves[-1]) if gradient is None else gradient
        weights = to_feature_map(gradient, layer).mean(dim=(2, 3), keepdim=True)
        values.append((weights * positions).sum(dim=1))
    return _maps(layer.name, "Grad-CAM", classes, torch.stack(values, dim=1), scores)


def recipro_cam(model: InspectedModel, x: torch.Tensor, classes: tuple[int, ...], layer: Layer) -> ClassActivationMaps:
    """Recipro-CAM (Byun & Lee 2022, arXiv 2209.14074): the score with all positions of the layer but one set to 0.

    It needs no gradient. The score with all positions at 0 is subtracted, so that 0 means no effect. Grids of more than
    7 x 7 positions are measured in 7 x 7 regions. Class and register tokens are kept.
    """
    values, scores = [], []
    with torch.inference_mode():
        for image in x.split(1):
            scores.append(model.score(image))
            values.append(_region_scores(model, image, layer))
    return _maps(layer.name, "Recipro-CAM", classes, torch.cat(values)[:, list(classes)], torch.cat(scores))


def _region_scores(model: InspectedModel, image: torch.Tensor, layer: Layer) -> torch.Tensor:
    """Scores (1, K, H, W) of single regions of the layer less the score without any, for one image (1, 3, S, S)."""
    height, width = to_feature_map(torch.empty(1, *layer.shape, device="meta"), layer).shape[2:]
    rows, columns = min(RECIPRO_GRID, height), min(RECIPRO_GRID, width)
    row, column = torch.arange(height) * rows // height, torch.arange(width) * columns // width
    region = row[:, None] * columns + column
    masks = functional.one_hot(region, rows * columns).permute(2, 0, 1)
    masks = torch.cat([masks, torch.zeros_like(masks[:1])]).to(image)
    found = []
    for chunk in masks.split(BATCH_SIZE):

        def mask(tensor: torch.Tensor, chunk: torch.Tensor = chunk) -> torch.Tensor:
            return tensor * _mask_factors(chunk, layer).to(tensor.dtype)

        with _replacing_output(model.backbone, layer, mask):
            found.append(model.score(image.expand(len(chunk), -1, -1, -1)))
    scores = torch.cat(found).cpu().double()
    return (scores[:-1] - scores[-1])[region].permute(2, 0, 1)[None]


def _mask_factors(masks: torch.Tensor, layer: Layer) -> torch.Tensor:
    """Masks (R, H, W) as factors of a layer's output; prefix tokens are kept."""
    if layer.layout == "channels_first":
        return masks[:, None]
    if layer.layout == "channels_last":
        return masks[..., None]
    flat = masks.flatten(1)
    return functional.pad(flat, (layer.shape[0] - flat.shape[1], 0), value=1.0)[..., None]


@contextmanager
def _replacing_output(
    module: nn.Module, layer: Layer, replace: Callable[[torch.Tensor], torch.Tensor]
) -> Iterator[None]:
    """Let a layer return ``replace(tensor)`` for its first output tensor, in the last of its calls."""
    calls = 0

    def hook(_: nn.Module, __: Any, output: Any) -> Any:
        nonlocal calls
        calls += 1
        tensor = first_tensor(output)
        return None if calls % layer.calls or tensor is None else _with_first(output, replace(tensor))

    handle = module.get_submodule(layer.name).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _with_first(output: Any, tensor: torch.Tensor) -> Any:
    """The output with its first tensor replaced."""
    if isinstance(output, torch.Tensor):
        return tensor
    if isinstance(output, dict):
        key = next(key for key, item in output.items() if first_tensor(item) is not None)
        changed = copy.copy(output)
        changed[key] = _with_first(output[key], tensor)
        return changed
    items = list(output)
    first = next(i for i, item in enumerate(items) if first_tensor(item) is not None)
    items[first] = _with_first(items[first], tensor)
    return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)  # named tuples take each item


def _on_pixels(name: str, attribute: captum_methods.Method) -> Method:
    """A method that ignores the layer: means over areas of the attribution to pixels, at most 28 x 28."""

    def compute(model: InspectedModel, x: torch.Tensor, classes: tuple[int, ...], layer: Layer) -> ClassActivationMaps:
        pixels = attribute(model.score, x, classes)
        with torch.inference_mode():
            scores = model.score(x)
        values = functional.adaptive_avg_pool2d(pixels, min(MAX_INPUT_SIDE, pixels.shape[3]))
        return _maps(INPUT, name, classes, values, scores)

    return compute


PIXEL_METHODS: dict[str, Method] = {
    "integrated-gradients": _on_pixels("integrated gradients", captum_methods.integrated_gradients),
    "occlusion": _on_pixels("occlusion", captum_methods.occlusion),
}
METHODS: dict[str, Method] = {
    "exact": exact_cam, "grad-cam": grad_cam, "recipro-cam": recipro_cam, **PIXEL_METHODS
}  # fmt: skip
