"""The content of the page of ``topwork show``, as plain values that are stored as JSON.

Colour images are ``data:`` URLs. Maps are bytes with a scale, so that the page can colour them and show their values.
Networks, strategies, images and classes are referred to by their position.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sheet:
    """Equal colour tiles in one image, row by row.

    Attributes:
        src: ``data:`` URL.
        width, height: Of a tile, in pixels.
        columns: Tiles per row.
        count: Number of tiles.
    """

    src: str
    width: int
    height: int
    columns: int
    count: int


@dataclass(frozen=True)
class MapSheet:
    """N maps over the image, each with its own scale.

    Attributes:
        data: Base64 of uint8 (N, height, width), compressed by zlib.
        width, height: Of a map, in values.
        limits: Per map; a byte b stands for b / 255 * limit, or if ``signed`` for (b - 128) / 127 * limit.
        signed: Whether negative values occur.
        names: Of the maps, e.g. ``"channel 17"`` or ``"head 3"``.
    """

    data: str
    width: int
    height: int
    limits: tuple[float, ...]
    signed: bool
    names: tuple[str, ...]


@dataclass(frozen=True)
class LayerInfo:
    """A layer of a network.

    Attributes:
        name, kind, note: As in ``explain.Layer``.
        shape: E.g. ``"320 x 7 x 7"``.
        receptive_field: E.g. ``"31 x 31 px"``; empty without spatial positions.
        dead_share: Share of channels that were 0 everywhere in all images, in [0, 1]; None if unknown.
        ends_stage: Whether it ends a stage of the network.
    """

    name: str
    kind: str
    shape: str
    receptive_field: str = ""
    dead_share: float | None = None
    ends_stage: bool = False
    note: str = ""


@dataclass(frozen=True)
class ChannelPatches:
    """What a channel responds to.

    Attributes:
        layer, channel: The channel.
        sheet: Up to nine image patches, highest activation first.
        activations: Of the patches.
        labels: Class of each image, or None.
        ids: Image ids.
        top_class: Name of the class with the highest mean activation; may be empty.
    """

    layer: str
    channel: int
    sheet: Sheet
    activations: tuple[float, ...]
    labels: tuple[int | None, ...]
    ids: tuple[str, ...]
    top_class: str = ""


@dataclass(frozen=True)
class ChannelTiles:
    """Filters or feature visualizations of a layer, one tile per channel; ``description`` explains the colours."""

    layer: str
    channels: tuple[int, ...]
    sheet: Sheet
    description: str


@dataclass(frozen=True)
class NetworkInfo:
    """One set of weights of the backbone.

    Attributes:
        name: ``"pretrained"``, ``"scratch"``, ``"finetune"`` ...
        description: E.g. ``"pretrained, used by mlp and svm"``.
        layers: In the order of the forward pass.
        filters: Of the first layer; None if they cannot be shown as colours.
        patches: By layer, then channel.
        visualizations: One entry per layer.
    """

    name: str
    description: str
    layers: tuple[LayerInfo, ...]
    filters: ChannelTiles | None = None
    patches: tuple[ChannelPatches, ...] = ()
    visualizations: tuple[ChannelTiles, ...] = ()


@dataclass(frozen=True)
class StrategySummary:
    """A strategy: its network (position), ``"logit"`` or ``"margin"`` scores, and test accuracy if known."""

    name: str
    network: int
    score_type: str
    accuracy: float | None = None


@dataclass(frozen=True)
class ScoredClass:
    """A predicted class, its score and, if calibrated, its probability in [0, 1]."""

    label: int
    score: float
    probability: float | None = None


@dataclass(frozen=True)
class ShownImage:
    """An image as the networks' input.

    Attributes:
        name: File name or image id.
        src: ``data:`` URL of a square JPEG.
        label: True class, if known.
        reason: Why it is shown, e.g. ``"the strategies disagree"``.
        predictions: Strategy position -> the best classes, best first.
    """

    name: str
    src: str
    label: int | None
    reason: str
    predictions: tuple[tuple[ScoredClass, ...], ...]


@dataclass(frozen=True)
class LayerMaps:
    """The most active channels of one layer of one network for one image.

    Attributes:
        image, network: Positions.
        layer: Name.
        maps: Most active channels first.
        channels: Number of channels of the layer.
        inactive_share: Share of channels that are 0 everywhere in this image, in [0, 1].
        attention: Whether the maps are attention heads instead of channels.
    """

    image: int
    network: int
    layer: str
    maps: MapSheet
    channels: int
    inactive_share: float
    attention: bool = False


@dataclass(frozen=True)
class Heatmap:
    """A class activation map of one class of one strategy for one image.

    Attributes:
        image, strategy, label: Positions; the class need not be the predicted one.
        layer, method: E.g. ``"blocks.6"``, ``"Grad-CAM"``.
        height, width: Of the grid.
        values: Base64 of int8 (height * width), row by row; v / 127 * ``limit`` is the value.
        limit: Largest absolute value.
        exact: Whether the values sum to the score, up to a constant.
        score: Of the class.
        fractions: Shares of blurred pixels, ascending.
        drop_marked: Share of the class's margin over the other classes that is lost when the highest pixels of the map
            are blurred, per fraction; 1 is the loss from blurring the whole image.
        drop_random: The same for random pixels.
    """

    image: int
    strategy: int
    label: int
    layer: str
    method: str
    height: int
    width: int
    values: str
    limit: float
    exact: bool
    score: float
    fractions: tuple[float, ...] = ()
    drop_marked: tuple[float, ...] = ()
    drop_random: tuple[float, ...] = ()


@dataclass(frozen=True)
class ProbePoint:
    """Test accuracy of a linear classifier on a stage's pooled output, with its 95 % interval, in [0, 1]."""

    layer: str
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class LayerChange:
    """How much fine-tuning changed a layer: CKA of its outputs in [0, 1], and |w - w0| / |w0| or None."""

    layer: str
    cka: float
    weight: float | None


@dataclass(frozen=True)
class SimilarityMap:
    """The test images in the plane, for each network.

    Attributes:
        ids: Image ids, (N,).
        labels: True classes, (N,).
        thumbnails: N tiles.
        points: Network position -> N pairs in [0, 1].
        predicted: Strategy position -> N classes.
        training: Thumbnails of the training images that are neighbours of a test image.
        training_labels: Classes of these training images.
        neighbours: Network position -> N tuples of positions in ``training``, most similar first.
        description: Method and settings, e.g. ``"t-SNE, perplexity 30, of 500 of 656 test images"``.
    """

    ids: tuple[str, ...]
    labels: tuple[int, ...]
    thumbnails: Sheet
    points: tuple[tuple[tuple[float, float], ...], ...]
    predicted: tuple[tuple[int, ...], ...]
    training: Sheet
    training_labels: tuple[int, ...]
    neighbours: tuple[tuple[tuple[int, ...], ...], ...]
    description: str


@dataclass(frozen=True)
class ShowData:
    """The whole page. Parts that do not apply, such as the data set of a bare backbone, are empty.

    Attributes:
        title: Of the page.
        facts: Pairs (name, value): model, weights, input, device, date.
        classes: Names, (K,); a bare backbone may have none.
        dead_measured_on: Images behind ``LayerInfo.dead_share``, e.g. ``"1,500 images"``.
        probes: Network position -> by depth.
        probe_description: Images and classifier of the probes.
        majority_baseline: Test accuracy of always predicting the most frequent class, in [0, 1].
        changes: From the pretrained to the fine-tuned network, by layer.
        change_description: Images behind ``changes``.
        notes: Messages to the reader.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    classes: tuple[str, ...]
    networks: tuple[NetworkInfo, ...]
    strategies: tuple[StrategySummary, ...]
    images: tuple[ShownImage, ...]
    layer_maps: tuple[LayerMaps, ...]
    heatmaps: tuple[Heatmap, ...] = ()
    probes: tuple[tuple[ProbePoint, ...], ...] = ()
    probe_description: str = ""
    majority_baseline: float | None = None
    changes: tuple[LayerChange, ...] = ()
    change_description: str = ""
    similarity_map: SimilarityMap | None = None
    dead_measured_on: str = ""
    notes: tuple[str, ...] = ()
