"""A made-up but lifelike ``ShowData``: an EfficientNet-like network, strategies, photos and everything on the page."""

from __future__ import annotations

import base64
import io
import math
import zlib

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from topwork.report.show_data import (
    ChannelPatches,
    ChannelTiles,
    Heatmap,
    LayerChange,
    LayerInfo,
    LayerMaps,
    MapSheet,
    NetworkInfo,
    ProbePoint,
    ScoredClass,
    Sheet,
    ShowData,
    ShownImage,
    SimilarityMap,
    StrategySummary,
)

SIZE = 224
NETWORKS = ("pretrained", "scratch", "finetune")
STRATEGIES = (("scratch", 1), ("mlp", 0), ("svm", 0), ("finetune", 2))
WIDTHS = (32, 16, 24, 40, 80, 112, 192, 320)
SIDES = (112, 112, 56, 28, 14, 14, 7, 7)


def data_url(array: np.ndarray, kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def sheet(tiles: np.ndarray, kind: str = "PNG") -> Sheet:
    """Tiles uint8 (N, H, W[, 3]) row by row."""
    columns = math.ceil(math.sqrt(len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    height, width = tiles.shape[1:3]
    grid = np.zeros((rows * height, columns * width, *tiles.shape[3:]), np.uint8)
    for i, tile in enumerate(tiles):
        grid[i // columns * height :, i % columns * width :][:height, :width] = tile
    return Sheet(data_url(grid, kind), width, height, columns, len(tiles))


def made_up_image(rng: np.random.Generator, label: int, size: int = SIZE) -> np.ndarray:
    """A dark solar cell, with a crack if ``label`` is odd, and hot spots."""
    base = Image.fromarray(rng.normal(128, 14, (size // 4, size // 4, 3)).clip(0, 255).astype(np.uint8))
    image = base.resize((size, size), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for x in (0.33, 0.66):
        draw.line((x * size, 0, x * size, size), fill=(60, 62, 66), width=max(1, size // 40))
    for _ in range(3):
        x, y = rng.uniform(0.1, 0.9, 2) * size
        r = size * rng.uniform(0.03, 0.1)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(92, 90, 96))
    if label % 2:
        points = [(size * (0.2 + 0.12 * i), size * (0.3 + 0.1 * i + rng.normal(0, 0.04))) for i in range(6)]
        draw.line(points, fill=(20, 18, 22), width=max(1, size // 60))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(size / 200)))


def layers(stages: tuple[str, ...], seed: int) -> tuple[LayerInfo, ...]:
    rng = np.random.default_rng(seed)
    made = []
    for stage, (width, side) in zip(stages, zip(WIDTHS, SIDES, strict=True), strict=True):
        field = "everything" if side == 7 else f"{SIZE // side * 5} x {SIZE // side * 5} pixels"
        names = [("conv_stem", "Conv2d"), ("bn1", "BatchNormAct2d")] if stage == "bn1" else []
        for block in range(0 if names else 2):
            for split, kind in (("conv_pw", "Conv2d"), ("bn2.act", "ReLU6"), ("conv_pwl", "Conv2d")):
                names.append((f"{stage}.{block}.{split}", kind))
        names += [] if stage == "bn1" else [(f"{stage}.1", "InvertedResidual"), (stage, "Sequential")]
        for name, kind in names:
            dead = float(rng.choice([0, 0, 0.02, 0.11])) if kind != "Sequential" else None
            made.append(LayerInfo(name, kind, f"{width} x {side} x {side}", field, dead, name == stage))
    made.append(LayerInfo("global_pool", "SelectAdaptivePool2d", "1280", note="called 2 times, the last is shown"))
    return tuple(made)


STAGES = ("bn1", *(f"blocks.{i}" for i in range(7)))


def blobs(rng: np.random.Generator, count: int, side: int, signed: bool) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / side
    maps = np.zeros((count, side, side))
    for one in maps:
        for _ in range(3):
            cx, cy, r = *rng.uniform(0.1, 0.9, 2), rng.uniform(0.06, 0.25)
            sign = rng.choice([-1, 1]) if signed else 1
            one += sign * rng.uniform(0.4, 2) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / r**2)
    return maps if signed else np.maximum(maps - 0.2, 0)


def map_sheet(maps: np.ndarray, names: tuple[str, ...], signed: bool) -> MapSheet:
    limits = np.abs(maps).max(axis=(1, 2))
    share = maps / np.where(limits > 0, limits, 1)[:, None, None]
    values = np.rint(share * 127 + 128) if signed else np.rint(share * 255)
    data = base64.b64encode(zlib.compress(values.astype(np.uint8).tobytes())).decode()
    return MapSheet(data, maps.shape[2], maps.shape[1], tuple(float(f"{v:.4g}") for v in limits), signed, names)


def layer_maps(photos: int, networks: tuple[NetworkInfo, ...]) -> tuple[LayerMaps, ...]:
    rng = np.random.default_rng(3)
    made = []
    for photo in range(photos):
        for number, network in enumerate(networks):
            for layer in network.layers:
                shape = [int(n) for n in layer.shape.split(" x ")]
                if len(shape) < 3 or layer.name.endswith("conv_pw"):
                    continue
                count = 16 if layer.ends_stage else 9
                signed = layer.kind == "Conv2d"
                channels = rng.choice(shape[0], count, replace=False)
                names = tuple(f"channel {c}" for c in channels)
                maps = map_sheet(blobs(rng, count, min(28, shape[1]), signed), names, signed)
                silent = float(rng.choice([0, 0.03, 0.2]))
                made.append(LayerMaps(photo, number, layer.name, maps, shape[0], silent))
    heads = map_sheet(blobs(rng, 4, 14, False), tuple(f"head {i}, center" for i in range(4)), False)
    made += [LayerMaps(p, 0, "blocks.6", heads, 4, 0.0, attention=True) for p in range(photos)]
    return tuple(made)


def heatmaps(photos: int, classes: int, strategies: int) -> tuple[Heatmap, ...]:
    rng = np.random.default_rng(4)
    made = []
    for photo in range(photos):
        for strategy in range(strategies):
            for layer, side in (("blocks.6", 7), ("blocks.4", 14), ("blocks.2", 28)):
                for method in ("Grad-CAM", "Occlusion") if side == 7 else ("Grad-CAM",):
                    for label in range(min(classes, 4)):
                        values = blobs(rng, 1, side, True)[0]
                        limit = float(np.abs(values).max())
                        packed = np.rint(values / limit * 127).astype(np.int8).tobytes()
                        shares = (0.05, 0.1, 0.2, 0.3, 0.5)
                        made.append(
                            Heatmap(
                                photo,
                                strategy,
                                label,
                                layer,
                                method,
                                side,
                                side,
                                base64.b64encode(packed).decode(),
                                limit,
                                method == "Grad-CAM" and side == 7,
                                round(float(rng.normal(0, 3)), 3),
                                shares,
                                tuple(round(min(1.0, 3.1 * s + 0.02 * strategy), 3) for s in shares),
                                tuple(round(0.9 * s * s, 3) for s in shares),
                            )
                        )
    return tuple(made)


def predictions(rng: np.random.Generator, classes: int, margin: bool) -> tuple[ScoredClass, ...]:
    scores = np.sort(rng.normal(0, 2, min(classes, 5)))[::-1]
    sure = np.exp(scores) / np.exp(scores).sum()
    labels = rng.choice(classes, len(scores), replace=False)
    rows = zip(labels, scores, sure, strict=True)
    return tuple(ScoredClass(int(k), round(float(s), 3), None if margin else round(float(p), 4)) for k, s, p in rows)


def similarity_map(count: int, classes: int, strategies: int) -> SimilarityMap:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, classes, count)
    for i in range(6):  # these are the photos
        labels[7 * i] = i % classes
    points = []
    for spread in (0.10, 0.2, 0.05):
        angle = labels / classes * 2 * np.pi
        centers = 0.5 + 0.32 * np.stack([np.cos(angle), np.sin(angle)], 1)
        places = np.clip(centers + rng.normal(0, spread, (count, 2)), 0, 1).round(4)
        points.append(tuple((float(x), float(y)) for x, y in places))
    predicted = tuple(
        tuple(int(v) for v in np.where(rng.random(count) < 0.85, labels, rng.integers(0, classes, count)))
        for _ in range(strategies)
    )
    thumbs = np.stack([made_up_image(rng, int(label), 40) for label in labels])
    training = np.stack([made_up_image(rng, i, 40) for i in range(60)])
    return SimilarityMap(
        ids=tuple(f"test/{i:04d}.png" for i in range(count)),
        labels=tuple(map(int, labels)),
        thumbnails=sheet(thumbs, "JPEG"),
        points=tuple(points),
        predicted=predicted,
        training=sheet(training, "JPEG"),
        training_labels=tuple(i % classes for i in range(60)),
        neighbors=tuple(tuple(tuple(map(int, rng.choice(60, 5, False))) for _ in range(count)) for _ in points),
        description=f"t-SNE, perplexity 30, of {count} of 656 test images; nearest of 1,000 training images",
    )


def network(name: str, description: str, seed: int) -> NetworkInfo:
    rng = np.random.default_rng(seed)
    filters = rng.integers(0, 256, (32, 3, 3, 3)).astype(np.uint8)
    patches = []
    for stage in STAGES[2::2]:
        for channel in range(4):
            tiles = np.stack([made_up_image(rng, i, 32) for i in range(9)])
            values = tuple(round(9.5 - 0.4 * i - channel, 3) for i in range(9))
            labels = tuple(int(k) for k in rng.integers(0, 2, 9))
            ids = tuple(f"train/{rng.integers(10000):04d}.png" for _ in range(9))
            patches.append(ChannelPatches(stage, channel * 3, sheet(tiles, "JPEG"), values, labels, ids, "cracked"))
    noise = rng.normal(128, 60, (6, 48, 48, 3)).clip(0, 255).astype(np.uint8)
    visualizations = (ChannelTiles("blocks.4", (0, 3, 5, 8, 9, 30), sheet(noise, "JPEG"), "Optimized."),)
    words_of = "Each filter on its own scale: gray is 0."
    return NetworkInfo(
        name, description, layers(STAGES, seed), ChannelTiles("conv_stem", tuple(range(32)), sheet(filters), words_of),
        tuple(patches), visualizations,
    )  # fmt: skip


def show_data(classes: tuple[str, ...] = ("intact", "cracked"), photos: int = 3) -> ShowData:
    """All of the page; the same for the same arguments."""
    rng = np.random.default_rng(1)
    description = ("pretrained, used by mlp and svm", "trained from random weights", "fine-tuned from pretrained")
    networks = tuple(network(name, word, i) for i, (name, word) in enumerate(zip(NETWORKS, description, strict=True)))
    strategies = tuple(
        StrategySummary(name, net, "margin" if name == "svm" else "logit", 0.8 + 0.03 * i)
        for i, (name, net) in enumerate(STRATEGIES)
    )
    reasons = ("the strategies disagree", "every strategy is wrong", "every strategy is right")
    images = tuple(
        ShownImage(
            f"test/{7 * i:04d}.png",
            data_url(made_up_image(rng, i), "JPEG"),
            i % len(classes),
            reasons[i % 3],
            tuple(predictions(rng, len(classes), s.score_type == "margin") for s in strategies),
        )
        for i in range(photos)
    )
    depth = np.linspace(0, 1, len(STAGES))
    tops = (0.84, 0.8, 0.91)
    probes = tuple(
        tuple(
            ProbePoint(stage, round(a, 4), round(a - 0.03, 4), round(min(1, a + 0.03), 4), 0.1)
            for stage, a in zip(STAGES, 0.62 + (top - 0.62) * depth ** (0.8 + k), strict=True)
        )
        for k, top in enumerate(tops)
    )
    names = [layer.name for layer in networks[0].layers]
    changes = tuple(
        LayerChange(
            name, round(1 - 0.6 * (i / len(names)) ** 2, 4), None if i % 5 == 4 else round(0.3 * i / len(names), 4)
        )
        for i, name in enumerate(names)
    )
    return ShowData(
        title="elpv: tf_efficientnet_lite0",
        facts=(
            ("model", "tf_efficientnet_lite0"), ("weights", "ImageNet-1k, Apache-2.0"), ("input", "224 x 224"),
            ("device", "cpu, float32"), ("date", "2025-01-31 12:00"),
            ("command", "topwork show runs/elpv-compare-tf_efficientnet_lite0 --image a.png --layer blocks.3"),
        ),
        classes=classes,
        networks=networks,
        strategies=strategies,
        images=images,
        layer_maps=layer_maps(photos, networks),
        heatmaps=heatmaps(photos, len(classes), len(strategies)),
        probes=probes,
        probe_description="Logistic regression on 1,000 training images, evaluated on 500 test images.",
        majority_baseline=0.577,
        changes=changes,
        change_description="128 test images",
        similarity_map=similarity_map(200, len(classes), len(strategies)),
        inactive_measured_on="1,500 images",
        notes=("Everything is float32; a GPU may give other last digits.",),
    )  # fmt: skip
