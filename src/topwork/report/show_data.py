"""The content of the page of ``topwork show``, as plain values that are stored as JSON.

Color images are ``data:`` URLs. Maps are bytes with a scale, so that the page can color them and show their values.
Networks, strategies, images and classes are referred to by their position.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sheet:
    """Equal color tiles in one image, row by row.

    ``src`` is a ``data:`` URL; width and height are those of a tile, in pixels.
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
    """A layer of a network; name, kind and note are those of ``explain.Layer``.

    Attributes:
        shape: E.g. ``"320 x 7 x 7"``.
        receptive_field: E.g. ``"31 x 31 px"``; empty without spatial positions.
        inactive_share: Share of channels that were 0 everywhere in all images, in [0, 1]; None if unknown.
    """

    name: str
    kind: str
    shape: str
    receptive_field: str = ""
    inactive_share: float | None = None
    ends_stage: bool = False
    note: str = ""


@dataclass(frozen=True)
class ChannelPatches:
    """What a channel responds to.

    Attributes:
        sheet: Up to nine image patches, highest activation first.
        activations, labels, ids: Of the patches: activation, class and image.
        top_class: Name of the class with the highest mean activation.
    """

    layer: str
    channel: int
    sheet: Sheet
    activations: tuple[float, ...]
    labels: tuple[int, ...]
    ids: tuple[str, ...]
    top_class: str


@dataclass(frozen=True)
class ChannelTiles:
    """Filters or feature visualizations of a layer, one tile per channel; ``description`` explains the colors."""

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
        filters: Of the first layer; None if they cannot be shown as colors.
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
    """The most active channels of one layer of one network for one image, most active first.

    Attributes:
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
        label: Position of the class, which need not be the predicted one.
        values: Base64 of int8 (height * width), row by row; v / 127 * ``limit`` is the value.
        exact: Whether the values sum to the score, up to a constant.
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
    """Test accuracy of a linear classifier on a stage's pooled output, with its 95 % Wilson interval, in [0, 1].

    ``c`` is the inverse strength of the penalty, scikit-learn's ``C``, chosen on held-out training images.
    """

    layer: str
    accuracy: float
    low: float
    high: float
    c: float


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
        points: Network position -> N pairs in [0, 1].
        predicted: Strategy position -> N classes.
        training: Thumbnails of the training images that are neighbors of a test image.
        training_labels: Classes of these training images.
        neighbors: Network position -> N tuples of positions in ``training``, most similar first.
        description: Method and settings, e.g. ``"t-SNE, perplexity 30, of 500 of 656 test images"``.
    """

    ids: tuple[str, ...]
    labels: tuple[int, ...]
    thumbnails: Sheet
    points: tuple[tuple[tuple[float, float], ...], ...]
    predicted: tuple[tuple[int, ...], ...]
    training: Sheet
    training_labels: tuple[int, ...]
    neighbors: tuple[tuple[tuple[int, ...], ...], ...]
    description: str


@dataclass(frozen=True)
class ShowData:
    """The whole page. Parts that do not apply, such as the data set of a bare backbone, are empty.

    Attributes:
        facts: Pairs (name, value): model, weights, input, device, date.
        classes: Names, (K,); a bare backbone may have none.
        inactive_measured_on: Images behind ``LayerInfo.inactive_share``, e.g. ``"1,500 images"``.
        probes: Network position -> by depth.
        majority_baseline: Test accuracy of always predicting the most frequent class, in [0, 1].
        changes: From the pretrained to the fine-tuned network, by layer.
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
    inactive_measured_on: str = ""
    notes: tuple[str, ...] = ()
