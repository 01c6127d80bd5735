"""Compute the whole page: the sections about images, and on request those about networks and the data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from topwork.core.errors import DataError
from topwork.explain.channel_maps import InactiveChannels, strongest_channels
from topwork.explain.context import RunDataset, ShowContext
from topwork.explain.dataset_sections import (
    channel_patches,
    layer_changes,
    pixel_loader,
    probe_points,
    similarity_map,
)
from topwork.explain.encoding import color_sheet, thumbnails
from topwork.explain.feature_visualization import visualize_channels
from topwork.explain.filters import first_filters
from topwork.explain.image_sections import heatmaps, layer_maps, shown_images
from topwork.explain.inspected_model import InspectedModel
from topwork.explain.layers import Layer
from topwork.explain.observers import run_with_observers
from topwork.explain.sample_pass import PassResults, Sample, draw_sample, find_unreadable, run_pass
from topwork.report.show_data import ChannelTiles, LayerInfo, NetworkInfo, ShowData, StrategySummary

VISUALIZED_CHANNELS, VISUALIZATION_SIDE = 4, 112  # per layer; pixels on the page
MAX_VISUALIZED_LAYERS = 3  # each takes seconds


def compute_page(
    context: ShowContext,
    title: str,
    facts: tuple[tuple[str, str], ...],
    classes: Sequence[int],
    methods: Sequence[str],
    embedding: str,
    sample_size: int,
    quick: bool,
) -> ShowData:
    """The content of the page; ``show`` describes the options.

    Args:
        context: Networks, images and data set.
        title, facts: Of the page; pairs (name, value).
        classes: Positions of the requested classes.
        methods: Additional heatmaps.
        embedding: Method of the similarity map.
        sample_size: Images of the data set to analyze.
        quick: Only the sections about the images.
    """
    methods = ["auto", *(methods or ["recipro-cam"])]
    data = ShowData(
        title=title,
        facts=facts,
        classes=context.classes,
        networks=tuple(
            NetworkInfo(
                name, _description(context, name), _layers(context, _inactive_channels(context, model)), _filters(model)
            )
            for name, model in context.networks.items()
        ),
        strategies=_strategies(context),
        images=shown_images(context),
        layer_maps=layer_maps(context),
        heatmaps=heatmaps(context, classes, methods) if context.models[0].head is not None else (),
        inactive_measured_on=_count(len(context.images)),
    )
    if quick:
        return data
    if context.dataset and context.dataset.images:
        sample = draw_sample(context.dataset, sample_size)
        try:
            return _with_dataset(context, context.dataset, data, sample, embedding)
        except DataError:  # an image was lost
            lost = find_unreadable(context.dataset, sample, context.models[0].spec.resize_size)
            if not lost:
                raise
        return _with_dataset(context, context.dataset, data, sample.without(lost), embedding)
    note = "The images of the run were not found, so the sections about the data set are missing."
    networks = _with_visualizations(context, data.networks, {})
    return replace(data, networks=networks, notes=(note,) if context.dataset else ())


def _with_dataset(
    context: ShowContext, dataset: RunDataset, data: ShowData, sample: Sample, embedding: str
) -> ShowData:
    results = run_pass(context, dataset, sample)
    pixels = pixel_loader(context, dataset)
    networks = tuple(
        replace(network, layers=_layers(context, one.inactive), patches=channel_patches(context, one, sample, pixels))
        for network, one in zip(data.networks, results.values(), strict=True)
    )
    train, test = len(sample.train), len(sample.test)
    changes, compared_on = layer_changes(context, dataset, sample)
    return replace(
        data,
        networks=_with_visualizations(context, networks, results),
        probes=probe_points(context, results, sample),
        probe_description=f"Fitted on {train:,} training images, evaluated on {test:,} test images.",
        majority_baseline=float(np.bincount(sample.test_labels).max() / test),
        changes=changes,
        change_description=compared_on,
        similarity_map=similarity_map(context, dataset, results, sample, embedding),
        inactive_measured_on=_count(len(sample.ids)),
        notes=_lost_note(context, sample.lost),
    )


def _lost_note(context: ShowContext, lost: Sequence[str]) -> tuple[str, ...]:
    if not lost:
        return ()
    note = f"{_count(len(lost))} of the sample can no longer be read and {'is' if len(lost) == 1 else 'are'} missing: "
    note += ", ".join(lost[:3]) + (", ..." if len(lost) > 3 else "")
    context.progress.log(note)
    return (note,)


def _count(images: int) -> str:
    return f"{images:,} image{'' if images == 1 else 's'}"


def _description(context: ShowContext, network: str) -> str:
    """The name of the weights, and the strategies that share them."""
    names = [model.name for model in context.models if model.network == network]
    return network if names == [network] else f"{network}, used by {' and '.join(names)}"


def _inactive_channels(context: ShowContext, model: InspectedModel) -> InactiveChannels:
    inactive = InactiveChannels()
    run_with_observers(model.backbone, context.spatial_layers, [context.x], [inactive])
    return inactive


def _layers(context: ShowContext, inactive: InactiveChannels) -> tuple[LayerInfo, ...]:
    stages = {layer.name for layer in context.stages}
    return tuple(
        LayerInfo(
            layer.name,
            layer.kind,
            " x ".join(map(str, layer.shape)),
            str(context.fields.get(layer.name, "")),
            inactive.share(layer.name),
            layer.name in stages,
            layer.note,
        )
        for layer in context.layers
    )


def _filters(model: InspectedModel) -> ChannelTiles | None:
    found = first_filters(model.backbone)
    if found is None:
        return None
    description = f"RGB weights: gray is 0, full color ±{found.limit:.3g}, on one scale"
    return ChannelTiles(found.layer, found.channels, color_sheet(found.tiles, "PNG"), description)


def _strategies(context: ShowContext) -> tuple[StrategySummary, ...]:
    if context.models[0].head is None:
        return ()
    order = list(context.networks)
    known = context.dataset.predictions if context.dataset else {}
    accuracy = {name: float((p.predicted == p.labels).mean()) for name, p in known.items()}
    return tuple(
        StrategySummary(model.name, order.index(model.network), model.score_type, accuracy.get(model.name))
        for model in context.models
    )


def _with_visualizations(
    context: ShowContext, networks: tuple[NetworkInfo, ...], results: dict[str, PassResults]
) -> tuple[NetworkInfo, ...]:
    """Feature visualizations of requested layers; without any, of the last stage if there are results."""
    requested = [layer for layer in context.requested_layers if layer.is_spatial]
    if len(context.requested_layers) > MAX_VISUALIZED_LAYERS:
        requested = []
    layers = requested or (context.stages[-1:] if results else [])
    if not layers:
        return networks
    visualized = []
    description = "images optimized to maximize a channel's activation, starting from noise"
    with context.progress.track("feature visualizations", len(layers) * len(networks), "layers") as step:
        for network, model in zip(networks, context.networks.values(), strict=True):
            tiles = []
            for layer in layers:
                channels = _channels(context, model, layer, results.get(network.name))
                found = visualize_channels(model.backbone, layer, channels, model.spec)
                sheet = thumbnails((Image.fromarray(pixels) for pixels in found), VISUALIZATION_SIDE)
                tiles.append(ChannelTiles(layer.name, channels, sheet, description))
                step.advance()
            visualized.append(replace(network, visualizations=tuple(tiles)))
    return tuple(visualized)


def _channels(
    context: ShowContext, model: InspectedModel, layer: Layer, results: PassResults | None
) -> tuple[int, ...]:
    """The channels whose patches are shown, else the strongest channels for the first image."""
    if results is not None and layer in context.stages:
        return results.patches.most_selective(layer.name, VISUALIZED_CHANNELS)
    strongest = strongest_channels(model.backbone, context.x[:1], [layer], 1, VISUALIZED_CHANNELS)
    return strongest[layer.name][0].channels
