"""The parts of the page about the data set: patches, probes, what fine-tuning changed, the map of the images."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from topwork.data.images import load_image
from topwork.data.transforms import eval_pixels
from topwork.explain.data_pass import Sample, Seen, batches
from topwork.explain.embedding import embed, nearest
from topwork.explain.patches import Hit, cut
from topwork.explain.pictures import colour_sheet, thumbnails
from topwork.explain.probes import linear_probes
from topwork.explain.scene import Scene
from topwork.explain.similarity import changes
from topwork.report.explained import Change, ChannelPatches, ImageMap, ProbePoint

PATCH = 32  # side in pixels
PATCHES = 9  # per channel
CHANNELS = 8  # per stage, if they fit
PATCH_PIXELS = 1_400_000  # of all patches; the page shall stay below 5 MB
THUMBNAIL = 40  # side in pixels
NEAREST = 5
COMPARED = 128  # images over which two networks are compared
Pixels = Callable[[str], np.ndarray]


def pixels_of(scene: Scene) -> Pixels:
    """Image id to what the network is fed, uint8 (S, S, 3); the last few hundred are kept."""
    assert scene.dataset is not None
    assert scene.dataset.root is not None
    root, spec = scene.dataset.root, scene.subjects[0].spec

    @lru_cache(maxsize=256)
    def pixels(image_id: str) -> np.ndarray:
        return eval_pixels(load_image(root / image_id, spec.resize_size), spec).permute(1, 2, 0).numpy()

    return pixels


def show_patches(scene: Scene, seen: Seen, pixels: Pixels) -> tuple[ChannelPatches, ...]:
    """What the most selective channels of each stage look for."""
    room = PATCH_PIXELS // (PATCHES * PATCH**2 * len(scene.stages) * len(scene.networks))
    shown = []
    for layer in scene.stages:
        means = seen.patches.favourites(layer.name)
        for channel in seen.patches.strongest(layer.name, max(1, min(CHANNELS, room))):
            hits = seen.patches.top(layer.name, channel)
            tiles = np.stack([cut(pixels(hit.id), scene.fields[layer.name], hit, PATCH) for hit in hits])
            favourite = scene.classes[int(means[:, channel].argmax())] if means is not None else ""
            shown.append(_patches(layer.name, channel, hits, tiles, favourite))
    return tuple(shown)


def _patches(layer: str, channel: int, hits: list[Hit], tiles: np.ndarray, favourite: str) -> ChannelPatches:
    return ChannelPatches(
        layer,
        channel,
        colour_sheet(tiles),
        tuple(float(f"{hit.value:.4g}") for hit in hits),
        tuple(hit.label for hit in hits),
        tuple(hit.id for hit in hits),
        favourite,
    )


def show_probes(scene: Scene, seen: dict[str, Seen], sample: Sample) -> tuple[tuple[ProbePoint, ...], ...]:
    """How well a linear classifier tells the classes apart at each stage of each network."""
    rows = []
    cut_at = len(sample.train)
    with scene.progress.track("linear probes", len(seen), "networks") as step:
        for one in seen.values():
            pooled = {layer.name: one.pooled.features(layer.name) for layer in scene.stages}
            probes = linear_probes(
                {name: values[:cut_at] for name, values in pooled.items()},
                sample.train_labels,
                {name: values[cut_at:] for name, values in pooled.items()},
                sample.test_labels,
            )
            rows.append(tuple(ProbePoint(p.layer, p.accuracy, p.low, p.high) for p in probes))
            step.advance()
    return tuple(rows)


def show_changes(scene: Scene, sample: Sample) -> tuple[tuple[Change, ...], str]:
    """CKA and weight distance between the pretrained network and one that was trained on from it, and over what."""
    trained, before = scene.networks.get("finetune"), scene.pretrained()
    if trained is None or before is None:
        return (), ""
    few = Sample((), sample.test[:COMPARED], sample.train_labels[:0], sample.test_labels[:COMPARED])
    placed = [layer for layer in scene.layers if layer.arrangement != "other"]
    with scene.progress.track("what fine-tuning changed", len(few)) as step:
        inputs = (x for x, _, _ in batches(scene, trained, few, step.advance))
        found = changes(before, trained.backbone, placed, inputs)
    rounded = tuple(Change(c.layer, round(c.cka, 4), None if c.weight is None else round(c.weight, 4)) for c in found)
    return rounded, f"{len(few)} test images"


def show_image_map(scene: Scene, seen: dict[str, Seen], sample: Sample, method: str) -> ImageMap:
    """The test images of the sample on a plane for each network, with their nearest training images."""
    dataset = scene.dataset
    assert dataset is not None
    assert dataset.root is not None
    cut_at = len(sample.train)
    points, neighbours, words = [], [], ""
    with scene.progress.track("maps of the images", len(seen), "networks") as step:
        for one in seen.values():
            embedding = embed(one.features[cut_at:], method)
            words = embedding.words
            points.append(tuple((round(float(x), 4), round(float(y), 4)) for x, y in embedding.points))
            neighbours.append(nearest(one.features[cut_at:], one.features[:cut_at], min(NEAREST, cut_at)))
            step.advance()
    needed = sorted({int(i) for table in neighbours for i in table.flat})
    position = {i: n for n, i in enumerate(needed)}
    predicted = []
    for predictions in dataset.predictions.values():
        by_id = dict(zip(predictions.ids, predictions.predicted.tolist(), strict=True))
        predicted.append(tuple(by_id[i] for i in sample.test))
    root = dataset.root
    total = len(dataset.splits.ids["test"])
    return ImageMap(
        sample.test,
        tuple(sample.test_labels.tolist()),
        thumbnails((load_image(root / i, THUMBNAIL) for i in sample.test), THUMBNAIL),
        tuple(points),
        tuple(predicted),
        thumbnails((load_image(root / sample.train[i], THUMBNAIL) for i in needed), THUMBNAIL),
        tuple(int(sample.train_labels[i]) for i in needed),
        tuple(tuple(tuple(position[int(i)] for i in row) for row in table) for table in neighbours),
        f"{words}, of {len(sample.test):,} of {total:,} test images; nearest of {cut_at:,} training images",
    )
