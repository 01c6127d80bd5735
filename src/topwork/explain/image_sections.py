"""The sections of the page about single images: predictions, activations by layer, attention, heatmaps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from topwork.explain.attention import attention_maps
from topwork.explain.attribution import PIXEL_METHODS, ClassActivationMaps, class_activation_maps
from topwork.explain.channel_maps import strongest_channels
from topwork.explain.context import ShowContext
from topwork.explain.encoding import data_url, encode_int8, map_sheet
from topwork.explain.faithfulness import Deletion, deletion
from topwork.explain.inspected_model import InspectedModel
from topwork.explain.joined_maps import from_last, last_maps
from topwork.explain.layers import stages_by_network
from topwork.report.show_data import Heatmap, LayerMaps, ScoredClass, ShownImage

MAX_MAP_BYTES = 1_400_000  # of all channel maps, before compression, so that the page stays below 5 MB
MAX_MAP_SIDE, MIN_MAP_SIDE = 28, 7  # rows of a map
CHANNELS_PER_STAGE, CHANNELS_PER_LAYER = 16, 9
MAX_CLASSES = 4  # per image
MAX_CAM_LAYERS = 4  # heatmaps per class, by layer and method
MAX_NAMED_LAYERS = 12  # requested layers that get heatmaps; all layers would take hours


def shown_images(context: ShowContext) -> tuple[ShownImage, ...]:
    """The images as network input, with the predictions of each strategy."""
    spec = context.models[0].spec
    mean, std = (torch.tensor(v, device=context.x.device).view(1, 3, 1, 1) for v in (spec.mean, spec.std))
    pixels = ((context.x * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
    pixels = pixels.permute(0, 2, 3, 1).cpu().numpy()
    predictions = [_predictions(model, context.x) for model in context.models if model.head is not None]
    return tuple(
        ShownImage(one.name, data_url(pixels[i]), one.label, one.reason, tuple(each[i] for each in predictions))
        for i, one in enumerate(context.images)
    )


def _predictions(model: InspectedModel, x: torch.Tensor, limit: int = 5) -> list[tuple[ScoredClass, ...]]:
    with torch.inference_mode():
        scores = model.predicted_scores(x).cpu().double().numpy()
    probabilities = model.probabilities(scores)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :limit]
    return [
        tuple(ScoredClass(int(k), _round5(scores[i, k]), _round5(probabilities[i, k])) for k in row)
        for i, row in enumerate(best)
    ]


def _round5(value: float) -> float:
    return float(f"{value:.5g}")


def layer_maps(context: ShowContext) -> tuple[LayerMaps, ...]:
    """The strongest channels of the stages and requested layers, and of other layers as far as the page allows."""
    requested = context.requested_layers if len(context.requested_layers) < len(context.layers) else []
    large = {layer.name for layer in [*context.stages, *requested]}
    side = _side_of_others(context, large)
    groups = [([layer for layer in context.spatial_layers if layer.name in large], MAX_MAP_SIDE, CHANNELS_PER_STAGE)]
    if side >= MIN_MAP_SIDE:
        others = [layer for layer in context.spatial_layers if layer.name not in large]
        groups.append((others, side, CHANNELS_PER_LAYER))
    found = []
    with context.progress.track("layer activations", len(context.networks), "networks") as step:
        for number, model in enumerate(context.networks.values()):
            for layers, rows, limit in groups:
                strongest = strongest_channels(model.backbone, context.x, layers, rows, limit)
                for layer in layers:
                    for image, one in enumerate(strongest[layer.name]):
                        maps = map_sheet(one.maps, [f"channel {c}" for c in one.channels], rows)
                        share = _round5(one.inactive_share)
                        found.append(LayerMaps(image, number, layer.name, maps, layer.channels, share))
            found += _attention(context, model, number)
            step.advance()
    return tuple(found)


def _side_of_others(context: ShowContext, large: set[str]) -> int:
    """Rows of the maps of all other layers, so that the page stays small; 0 for no maps."""
    copies = len(context.networks) * len(context.images)
    sides = {layer.name: math.isqrt(math.prod(layer.shape) // layer.channels) for layer in context.spatial_layers}
    used = sum(min(MAX_MAP_SIDE, sides[name]) ** 2 * CHANNELS_PER_STAGE for name in sides if name in large) * copies
    others = [sides[name] for name in sides if name not in large]
    for side in range(MAX_MAP_SIDE, MIN_MAP_SIDE - 1, -1):
        if used + sum(min(side, own) ** 2 for own in others) * CHANNELS_PER_LAYER * copies <= MAX_MAP_BYTES:
            return side
    return MIN_MAP_SIDE if context.requested_layers else 0


def _attention(context: ShowContext, model: InspectedModel, number: int) -> list[LayerMaps]:
    found = []
    for name, attention in attention_maps(model.backbone, context.x).items():
        for image, heads in enumerate(attention.heads):
            maps = map_sheet(heads, [f"head {i}, {attention.query}" for i in range(len(heads))], MAX_MAP_SIDE)
            found.append(LayerMaps(image, number, name, maps, len(heads), 0.0, attention=True))
    return found


def heatmaps(context: ShowContext, requested: Sequence[int], methods: Sequence[str]) -> tuple[Heatmap, ...]:
    """Class activation maps of every strategy for each image.

    Args:
        context: With models that have heads.
        requested: Classes to show in addition to the true and the most likely ones.
        methods: ``methods[0]`` is used for the last stages, all of them for the last stage and requested layers.
    """
    found = []
    chosen = [_classes(context, i, requested) for i in range(len(context.images))]
    total = len(context.images) * len(context.models)
    with context.progress.track("heatmaps", total, "images x strategies") as step:
        for image, classes in enumerate(chosen):
            x = context.x[image : image + 1]
            for number, model in enumerate(context.models):
                maps = _maps_of(context, model, x, classes, methods)
                for one, deletions in zip(maps, deletion(model, x, maps), strict=True):
                    found += _to_data(image, number, one, deletions)
                step.advance()
    return tuple(found)


def _classes(context: ShowContext, image: int, requested: Sequence[int]) -> tuple[int, ...]:
    if len(context.classes) <= MAX_CLASSES:
        return tuple(range(len(context.classes)))
    label = context.images[image].label
    first = [*requested, *([label] if label is not None else [])]
    ranked = [_predictions(model, context.x[image : image + 1])[0] for model in context.models]
    likely = [predictions[rank].label for rank in range(2) for predictions in ranked]
    return tuple(dict.fromkeys([*first, *likely]))[: max(MAX_CLASSES, len(requested))]


def _maps_of(
    context: ShowContext, model: InspectedModel, x: torch.Tensor, classes: Sequence[int], methods: Sequence[str]
) -> list[ClassActivationMaps]:
    """Maps from the last layer whose positions the score depends on, backwards; of joined networks first their sum."""
    maps: list[ClassActivationMaps] = []
    others = [method for method in methods[1:] if method not in PIXEL_METHODS]
    named = [layer for layer in context.requested_layers if layer.is_spatial]
    if len(context.requested_layers) > MAX_NAMED_LAYERS:
        named = []
    stages = stages_by_network(model.backbone, context.layers)
    total = last_maps(model, x, classes, stages, methods[0]) if len(stages) > 1 else None
    for layer in [layer for layer in from_last(stages) if layer not in named]:
        if len(maps) >= MAX_CAM_LAYERS:
            break
        found = class_activation_maps(model, x, classes, layer, methods[0])
        if np.abs(found.values).max() > 0:  # after the last block only the class token counts
            more = [] if maps else [class_activation_maps(model, x, classes, layer, method) for method in others]
            maps += [found, *more]
    for layer in named:
        maps += [class_activation_maps(model, x, classes, layer, method) for method in [methods[0], *others]]
    on_pixels = [method for method in methods if method in PIXEL_METHODS]
    maps += [class_activation_maps(model, x, classes, context.stages[-1], method) for method in on_pixels]
    return [total, *maps] if total else maps


def _to_data(image: int, strategy: int, maps: ClassActivationMaps, deletions: Sequence[Deletion]) -> list[Heatmap]:
    found = []
    for k, (label, one) in enumerate(zip(maps.classes, deletions, strict=True)):
        height, width = maps.values.shape[2:]
        values, limit = encode_int8(maps.values[0, k])
        score = _round5(maps.scores[0, k])
        drops = [tuple(map(_round5, drop)) for drop in (one.drop_marked, one.drop_random)]
        found.append(
            Heatmap(
                image, strategy, label, maps.layer, maps.method, height, width, values, limit, maps.exact, score,
                one.fractions, *drops,
            )
        )  # fmt: skip
    return found
