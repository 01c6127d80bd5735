"""Where in a photo a class gets its score from.

A class map has one value per class and place. It is signed: what speaks against a class is as much of an answer as what
speaks for it. The methods differ in what they promise. ``exact`` divides the score up without rest, where network and
head allow it; Grad-CAM takes the network for linear around the photo; Recipro-CAM tries what single places say alone;
integrated gradients and occlusion look at pixels instead of a layer. Whether a map shows what counts is measured in
``faithfulness``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from topwork.core.errors import UnknownName, UsageError
from topwork.explain import captum_methods
from topwork.explain.layers import Layer, as_map, first_tensor, plain, watching
from topwork.explain.subject import Subject
from topwork.linear.heads import LinearHead

AUTO, INPUT = "auto", "input"
REGIONS = 7  # rows and columns of places that Recipro-CAM tells apart
INPUT_SIDE = 28  # rows of a map over the input, at most
BATCH = 32


@dataclass(frozen=True)
class ClassMaps:
    """Maps of some classes for some photos.

    Attributes:
        layer: Whose places are meant; ``"input"`` for methods that look at pixels.
        method: In words, e.g. ``"Grad-CAM"``.
        classes: K' class indices.
        values: float32 (B, K', H, W); above 0 speaks for the class, below 0 against it.
        scores: float64 (B, K') scores of these classes.
        exact: Whether ``values.sum((2, 3)) + offset`` is ``scores``, to rounding.
        offset: float64 (B, K'): the part of the score that no place has given; 0 if not exact.
    """

    layer: str
    method: str
    classes: tuple[int, ...]
    values: np.ndarray
    scores: np.ndarray
    exact: bool
    offset: np.ndarray


Method = Callable[[Subject, torch.Tensor, tuple[int, ...], Layer], ClassMaps]


def class_maps(
    subject: Subject, x: torch.Tensor, classes: Sequence[int], layer: Layer, method: str = AUTO
) -> ClassMaps:
    """Where each class gets its score from.

    The network is left as it was, in eval mode: no hook, no gradient, no changed ``requires_grad``.

    Args:
        subject: With a head.
        x: Normalised images (B, 3, S, S).
        classes: Indices; they need not be predicted ones.
        layer: From ``list_layers`` at this size, with a place; methods that look at pixels do not use it.
        method: A name in ``METHODS``, or ``"auto"``: ``exact`` where it applies, else ``gradcam``.

    Raises:
        UnknownName: No such method or layer.
        UsageError: There is no such class, the layer's values have no place in the image, or ``exact`` does not apply.
        MissingExtra: The method needs Captum.
    """
    if method != AUTO and method not in METHODS:
        raise UnknownName("method", method, [AUTO, *METHODS])
    if subject.head is None:
        subject.score(x[:1])  # says that there are no classes
    known = len(subject.classes)
    chosen = tuple(int(k) for k in classes)
    wrong = [k for k in chosen if not 0 <= k < known]
    if wrong or not chosen:
        what = f"Class {wrong[0]} is not there" if wrong else "No class was asked for"
        raise UsageError(f"{what}: the classes are numbered from 0 to {known - 1}; choose some of these.")
    if layer.name not in dict(plain(subject.backbone).named_modules()):
        raise UnknownName("layer", layer.name, [name for name, _ in plain(subject.backbone).named_modules() if name])
    if not layer.has_place:
        raise UsageError(
            f"The values of layer {layer.name} {layer.shape} have no place in the image; choose another --layer."
        )
    plain(subject.backbone).eval()
    make = _auto if method == AUTO else METHODS[method]
    with torch.inference_mode(False), torch.enable_grad():  # whatever the caller has set
        return make(subject, x.detach().to(subject.device).clone(), chosen, layer)


def _maps(layer: str, method: str, classes: tuple[int, ...], values: torch.Tensor, scores: torch.Tensor) -> ClassMaps:
    """Maps (B, K', H, W) that are not exact, with the scores (B, K) of all classes."""
    own = _numbers(scores)[:, list(classes)]
    return ClassMaps(layer, method, classes, values.float().cpu().numpy(), own, False, np.zeros_like(own))


def _numbers(scores: torch.Tensor) -> np.ndarray:
    return scores.detach().cpu().double().numpy()


def exact(subject: Subject, x: torch.Tensor, classes: tuple[int, ...], layer: Layer) -> ClassMaps:
    """The score divided up among the places of the layer that is averaged into the features, and a constant.

    With features f = mean of A(p) over the H W places and a score that is linear in them, the place p has given
    ``w . A(p) / (H W)`` (class activation mapping; Zhou et al. 2016, arXiv 1512.04150), the bias nobody. A linear
    support vector machine sees the signed root r of the features: since ``r(f) = f / sqrt|f|``, channel d of a place
    has given ``w_d / scale * A_d(p) / (H W sqrt|f_d|)``, and the sum is the margin without its constant. Channels whose
    places cancel out to a mean near 0 then give large values of both signs.

    Raises:
        UsageError: The head is not linear, or the layer is not the one that is averaged.
    """
    found = _exact_or_why_not(subject, x, classes, layer)
    if isinstance(found, str):
        raise UsageError(f"An exact class map does not apply: {found}. Take --method gradcam.")
    return found


def _auto(subject: Subject, x: torch.Tensor, classes: tuple[int, ...], layer: Layer) -> ClassMaps:
    found = _exact_or_why_not(subject, x, classes, layer)
    return gradcam(subject, x, classes, layer) if isinstance(found, str) else found


def _exact_or_why_not(subject: Subject, x: torch.Tensor, classes: tuple[int, ...], layer: Layer) -> ClassMaps | str:
    head = subject.head
    assert head is not None
    degree = _degree(head)
    if degree is None:
        return f"the head of {subject.name} is not linear in the features"
    kept: dict[str, torch.Tensor] = {}

    def watch(name: str, _: nn.Module, output: torch.Tensor, __: bool) -> None:
        kept[name] = as_map(output, layer).clone()

    module = plain(subject.backbone)
    with torch.no_grad(), watching(module, [layer.name], watch):
        features = module(x)
    places = kept[layer.name]
    if not _is_mean(features, places):
        if layer.arrangement == "tokens" and getattr(module, "global_pool", "") == "token":
            return f"{subject.model} hands its class token to the head, not the mean over the places of {layer.name}"
        return f"the features are not the mean of {layer.name} over its places"
    leaf = features.detach().requires_grad_()
    scores = head(leaf)
    gradients = [torch.autograd.grad(scores[:, k].sum(), leaf, retain_graph=True)[0] for k in classes]
    with torch.no_grad():
        constant = _numbers(head(torch.zeros_like(features)))[:, list(classes)]
    weights = torch.stack(gradients, dim=1).cpu().double() / degree / (places.shape[2] * places.shape[3])
    values = torch.einsum("bkc,bchw->bkhw", weights, places.cpu().double())
    own = _numbers(scores)[:, list(classes)]
    return ClassMaps(layer.name, "exact", classes, values.float().numpy(), own, True, constant)


def _degree(head: nn.Module) -> float | None:
    """Of homogeneity of a head less its constant: f . gradient is degree times the score (Euler); None if none."""
    if isinstance(head, nn.Linear):
        return 1.0
    return 0.5 if isinstance(head, LinearHead) else None


def _is_mean(features: torch.Tensor, places: torch.Tensor) -> bool:
    """Whether features (B, D) are the mean of (B, D, H, W), to the rounding of float32."""
    if features.shape != places.shape[:2]:
        return False
    room = 1e-5 * places.abs().amax(dim=(2, 3)).clamp(min=1e-12)
    return bool(((places.mean(dim=(2, 3)) - features).abs() <= room).all())


def gradcam(subject: Subject, x: torch.Tensor, classes: tuple[int, ...], layer: Layer) -> ClassMaps:
    """Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391), with its sign.

    The channels of the layer are summed with the mean gradient of the score over the places as weights. The original
    then sets what is below 0 to 0; here the map keeps what speaks against the class. After the last attention of a
    network that hands a class token to its head, no place has a gradient and the map is 0: take an earlier layer.
    """
    assert subject.head is not None
    leaves: list[torch.Tensor] = []

    def make(tensor: torch.Tensor) -> torch.Tensor:
        leaves.append(tensor.detach().clone().requires_grad_())
        return leaves[-1].clone()  # which later layers may overwrite in place

    module = plain(subject.backbone)
    with _replacing(module, layer, make):
        scores = subject.head(module(x))
    places = as_map(leaves[-1].detach(), layer)
    values = []
    for k in classes:
        (gradient,) = torch.autograd.grad(scores[:, k].sum(), leaves[-1], retain_graph=True, allow_unused=True)
        gradient = torch.zeros_like(leaves[-1]) if gradient is None else gradient
        weights = as_map(gradient, layer).mean(dim=(2, 3), keepdim=True)
        values.append((weights * places).sum(dim=1))
    return _maps(layer.name, "Grad-CAM", classes, torch.stack(values, dim=1), scores)


def recipro(subject: Subject, x: torch.Tensor, classes: tuple[int, ...], layer: Layer) -> ClassMaps:
    """Recipro-CAM (Byun & Lee 2022, arXiv 2209.14074): the score when all places of the layer but one are set to 0.

    No gradient is needed. What the score is with all places at 0 is subtracted, so that 0 means that a place says
    nothing. Grids of more than 7 x 7 places are tried in 7 x 7 regions, whose values stand at each of their places.
    Class and register tokens stay.
    """
    assert subject.head is not None
    module = plain(subject.backbone)
    values, scores = [], []
    with torch.inference_mode():
        for image in x.split(1):
            scores.append(subject.head(module(image)))
            values.append(_alone(subject.head, module, image, layer))
    return _maps(layer.name, "Recipro-CAM", classes, torch.cat(values)[:, list(classes)], torch.cat(scores))


def _alone(head: nn.Module, module: nn.Module, image: torch.Tensor, layer: Layer) -> torch.Tensor:
    """Scores (1, K, H, W) of single regions of the layer less those of none, for one image (1, 3, S, S)."""
    height, width = _grid(layer)
    rows, columns = min(REGIONS, height), min(REGIONS, width)
    row, column = torch.arange(height) * rows // height, torch.arange(width) * columns // width
    region = row[:, None] * columns + column
    masks = functional.one_hot(region, rows * columns).permute(2, 0, 1)
    masks = torch.cat([masks, torch.zeros_like(masks[:1])]).to(image)
    found = []
    for chunk in masks.split(BATCH):

        def make(tensor: torch.Tensor, chunk: torch.Tensor = chunk) -> torch.Tensor:
            return tensor * _arranged(chunk, layer).to(tensor.dtype)

        with _replacing(module, layer, make):
            found.append(head(module(image.expand(len(chunk), -1, -1, -1))))
    answers = torch.cat(found).cpu().double()
    return (answers[:-1] - answers[-1])[region].permute(2, 0, 1)[None]


def _grid(layer: Layer) -> tuple[int, int]:
    """Rows and columns of a layer that has a place."""
    blank = as_map(torch.empty(1, *layer.shape, device="meta"), layer)
    return blank.shape[2], blank.shape[3]


def _arranged(masks: torch.Tensor, layer: Layer) -> torch.Tensor:
    """Masks (R, H, W) as factors of a layer's output; tokens before the grid stay."""
    if layer.arrangement == "map":
        return masks[:, None]
    if layer.arrangement == "map, channels last":
        return masks[..., None]
    flat = masks.flatten(1)
    return functional.pad(flat, (layer.shape[0] - flat.shape[1], 0), value=1.0)[..., None]


@contextmanager
def _replacing(module: nn.Module, layer: Layer, make: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """Have a layer give ``make(tensor)``: of several outputs the first tensor, of several calls in a pass the last."""
    calls = 0

    def hook(_: nn.Module, __: Any, output: Any) -> Any:
        nonlocal calls
        calls += 1
        tensor = first_tensor(output)
        return None if calls % layer.calls or tensor is None else _with_first(output, make(tensor))

    handle = dict(module.named_modules())[layer.name].register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _with_first(output: Any, tensor: torch.Tensor) -> Any:
    """An output whose first tensor is another one."""
    if isinstance(output, torch.Tensor):
        return tensor
    if isinstance(output, dict):
        key = next(key for key, item in output.items() if first_tensor(item) is not None)
        changed = copy.copy(output)
        changed[key] = _with_first(output[key], tensor)
        return changed
    items = list(output)
    place = next(i for i, item in enumerate(items) if first_tensor(item) is not None)
    items[place] = _with_first(items[place], tensor)
    return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)  # a named tuple takes each


def integrated_gradients(subject: Subject, x: torch.Tensor, classes: tuple[int, ...], layer: Layer) -> ClassMaps:
    """Integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365) from an image of the mean colour, by Captum.

    The values of the three colours are summed and averaged over areas: a map of at most 28 x 28.
    """
    pixels = captum_methods.integrated_gradients(subject.score, x, classes)
    return _maps(INPUT, "integrated gradients", classes, _reduced(pixels), _plain_scores(subject, x))


def occlusion(subject: Subject, x: torch.Tensor, classes: tuple[int, ...], layer: Layer) -> ClassMaps:
    """Occlusion (Zeiler & Fergus 2014, arXiv 1311.2901): how far the score falls when a square is covered, by Captum.

    Squares of the mean colour with a seventh of the image's side move by half their side; a pixel has the mean over the
    squares that cover it, and the map, of at most 28 x 28, means over areas.
    """
    pixels = captum_methods.occlusion(subject.score, x, classes)
    return _maps(INPUT, "occlusion", classes, _reduced(pixels), _plain_scores(subject, x))


def _reduced(pixels: torch.Tensor) -> torch.Tensor:
    return functional.adaptive_avg_pool2d(pixels, min(INPUT_SIDE, pixels.shape[3]))


def _plain_scores(subject: Subject, x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return subject.score(x)


METHODS: dict[str, Method] = {
    "exact": exact,
    "gradcam": gradcam,
    "recipro": recipro,
    "integrated-gradients": integrated_gradients,
    "occlusion": occlusion,
}
ON_PIXELS = ("integrated-gradients", "occlusion")  # the layer does not matter
