"""The sections of the page about the data set: patches, probes, effect of fine-tuning, similarity map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np

from topwork.data.transforms import eval_transform
from topwork.evaluation.ood import KNNIndex, l2_normalize
from topwork.explain.context import RunDataset, ShowContext
from topwork.explain.embedding import embed
from topwork.explain.encoding import color_sheet, thumbnails
from topwork.explain.patches import crop_receptive_field
from topwork.explain.probes import linear_probes
from topwork.explain.sample_pass import PassResults, Sample, input_batches
from topwork.explain.similarity import compare_layers
from topwork.report.show_data import ChannelPatches, LayerChange, ProbePoint, SimilarityMap

PATCH_SIDE = 32  # pixels
PATCHES_PER_CHANNEL = 9
CHANNELS_PER_STAGE = 8
MAX_PATCH_PIXELS = 1_400_000  # of all patches, so that the page stays below 5 MB
THUMBNAIL_SIDE = 40  # pixels
NEIGHBORS = 5
CKA_IMAGES = 128
Pixels = Callable[[str], np.ndarray]


def pixel_loader(context: ShowContext, dataset: RunDataset) -> Pixels:
    """A function from image id to the network's input, uint8 (S, S, 3); the last 256 images are cached."""
    spec = context.models[0].spec

    @lru_cache(maxsize=256)
    def pixels(image_id: str) -> np.ndarray:
        return eval_transform(dataset.load(image_id, spec.resize_size), spec).permute(1, 2, 0).numpy()

    return pixels


def channel_patches(
    context: ShowContext, results: PassResults, sample: Sample, pixels: Pixels
) -> tuple[ChannelPatches, ...]:
    """The image patches with the highest activation of the most selective channels of each stage."""
    per_channel = PATCHES_PER_CHANNEL * PATCH_SIDE**2 * len(context.stages) * len(context.networks)
    limit = max(1, min(CHANNELS_PER_STAGE, MAX_PATCH_PIXELS // per_channel))
    found = []
    ids, labels = sample.ids, sample.labels
    present = np.unique(labels)
    for layer in context.stages:
        pooled = results.pooled.features(layer.name)
        class_means = np.stack([pooled[labels == k].mean(axis=0, dtype=np.float64) for k in present])
        field = context.fields[layer.name]
        for channel in results.patches.most_selective(layer.name, limit):
            top = results.patches.top(layer.name, channel)
            tiles = np.stack([crop_receptive_field(pixels(ids[one.image]), field, one, PATCH_SIDE) for one in top])
            found.append(
                ChannelPatches(
                    layer.name,
                    channel,
                    color_sheet(tiles),
                    tuple(float(f"{one.value:.4g}") for one in top),
                    tuple(int(labels[one.image]) for one in top),
                    tuple(ids[one.image] for one in top),
                    context.classes[present[class_means[:, channel].argmax()]],
                )
            )
    return tuple(found)


def probe_points(
    context: ShowContext, results: dict[str, PassResults], sample: Sample
) -> tuple[tuple[ProbePoint, ...], ...]:
    """The accuracy of a linear classifier at each stage of each network."""
    rows = []
    count = len(sample.train)
    with context.progress.track("linear probes", len(results), "networks") as step:
        for one in results.values():
            pooled = {layer.name: one.pooled.features(layer.name) for layer in context.stages}
            train = {name: values[:count] for name, values in pooled.items()}
            test = {name: values[count:] for name, values in pooled.items()}
            rows.append(tuple(linear_probes(train, sample.train_labels, test, sample.test_labels)))
            step.advance()
    return tuple(rows)


def layer_changes(context: ShowContext, dataset: RunDataset, sample: Sample) -> tuple[tuple[LayerChange, ...], str]:
    """CKA and weight change between the pretrained and the fine-tuned network, and the images of the comparison."""
    trained, before = context.networks.get("finetune"), context.pretrained()
    if trained is None or before is None:
        return (), ""
    test = sample.test[:CKA_IMAGES]
    layers = [layer for layer in context.layers if layer.layout != "other"]
    with context.progress.track("effect of fine-tuning", len(test)) as step:
        inputs = input_batches(context, dataset, trained, test, step.advance)
        found = compare_layers(before, trained.backbone, layers, inputs)
    rounded = tuple(
        replace(c, cka=round(c.cka, 4), weight=None if c.weight is None else round(c.weight, 4)) for c in found
    )
    return rounded, f"{len(test)} test images"


def similarity_map(
    context: ShowContext, dataset: RunDataset, results: dict[str, PassResults], sample: Sample, method: str
) -> SimilarityMap:
    """The test images of the sample in the plane for each network, with their most similar training images."""
    count = len(sample.train)
    coordinates, neighbors, description = [], [], ""
    with context.progress.track("similarity maps", len(results), "networks") as step:
        for one in results.values():
            points, description = embed(one.features[count:], method)
            coordinates.append(tuple((round(float(x), 4), round(float(y), 4)) for x, y in points))
            index = KNNIndex(l2_normalize(one.features[:count]), sample.train_labels, sample.train)
            neighbors.append(index.nearest(one.features[count:], min(NEIGHBORS, count))[1])
            step.advance()
    needed = sorted({int(i) for table in neighbors for i in table.flat})
    position = {i: n for n, i in enumerate(needed)}
    predicted = []
    for predictions in dataset.predictions.values():
        by_id = dict(zip(predictions.ids, predictions.predicted.tolist(), strict=True))
        predicted.append(tuple(by_id[i] for i in sample.test))
    total = len(dataset.splits.ids["test"])
    training = [sample.train[i] for i in needed]
    return SimilarityMap(
        sample.test,
        tuple(sample.test_labels.tolist()),
        thumbnails((dataset.load(i, THUMBNAIL_SIDE) for i in sample.test), THUMBNAIL_SIDE),
        tuple(coordinates),
        tuple(predicted),
        thumbnails((dataset.load(i, THUMBNAIL_SIDE) for i in training), THUMBNAIL_SIDE),
        tuple(int(sample.train_labels[i]) for i in needed),
        tuple(tuple(tuple(position[int(i)] for i in row) for row in table) for table in neighbors),
        f"{description}, {len(sample.test):,} of {total:,} test images; neighbors from {count:,} training images",
    )
