"""What the page of ``topwork show`` says, before it is turned into a page. Plain values only: it is stored as JSON.

A picture is a ``data:`` address. Maps are grey pictures or bytes with a stated scale: the page colours them, so one
sees values and not only colours. Networks, strategies, photos and classes are named by their position.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sheet:
    """Equal tiles in one picture, row by row.

    Attributes:
        src: ``data:`` address.
        width, height: Of a tile in pixels.
        columns: Tiles in a row.
        count: Tiles in all.
    """

    src: str
    width: int
    height: int
    columns: int
    count: int


@dataclass(frozen=True)
class LayerShown:
    """A layer of a network.

    Attributes:
        name, kind, note: As in ``explain.Layer``.
        shape: E.g. ``"320 x 7 x 7"``.
        field: Receptive field in words; empty if the layer has no place in the image.
        dead: Share of channels that gave 0 everywhere in all images looked at, in [0, 1]; None if unknown.
        stage: Whether it ends a stage of the network.
    """

    name: str
    kind: str
    shape: str
    field: str = ""
    dead: float | None = None
    stage: bool = False
    note: str = ""


@dataclass(frozen=True)
class ChannelPatches:
    """What a channel looks for.

    Attributes:
        layer, channel: Which.
        sheet: Up to nine pieces of photographs, the most exciting first.
        values: What the channel answered to each.
        labels: Class of each photograph, or None.
        ids: Image ids.
        favourite: The class with the highest mean answer, in words; may be empty.
    """

    layer: str
    channel: int
    sheet: Sheet
    values: tuple[float, ...]
    labels: tuple[int | None, ...]
    ids: tuple[str, ...]
    favourite: str = ""


@dataclass(frozen=True)
class Tiles:
    """Filters or dreams of a layer: one tile per channel, in full colour or grey.

    Attributes:
        layer: Name.
        channels: Channel of each tile.
        sheet: The tiles.
        words: What the colours mean, one line.
    """

    layer: str
    channels: tuple[int, ...]
    sheet: Sheet
    words: str


@dataclass(frozen=True)
class Network:
    """One set of weights of the backbone.

    Attributes:
        name: ``"pretrained"``, ``"scratch"``, ``"finetune"`` ...
        words: For people, e.g. ``"pretrained, as mlp and svm see it"``.
        layers: In the order of the forward pass.
        filters: Of the first layer; None if it has none that can be shown as colours.
        patches: By layer, then channel.
        dreams: One entry per layer.
    """

    name: str
    words: str
    layers: tuple[LayerShown, ...]
    filters: Tiles | None = None
    patches: tuple[ChannelPatches, ...] = ()
    dreams: tuple[Tiles, ...] = ()


@dataclass(frozen=True)
class StrategyShown:
    """A strategy: its network (position), kind of scores (``"logit"`` or ``"margin"``), accuracy on test if known."""

    name: str
    network: int
    scores: str
    accuracy: float | None = None


@dataclass(frozen=True)
class Guess:
    """A class, its score and, where there is a calibrated one, its probability in [0, 1]."""

    label: int
    score: float
    probability: float | None = None


@dataclass(frozen=True)
class Photo:
    """A photo as the networks are fed it.

    Attributes:
        name: File or image id.
        src: JPEG, square.
        label: True class, if known.
        why: Why it is here, e.g. ``"strategies disagree"`` or ``"given"``.
        guesses: Strategy position -> the best classes, best first.
    """

    name: str
    src: str
    label: int | None
    why: str
    guesses: tuple[tuple[Guess, ...], ...]


@dataclass(frozen=True)
class MapSheet:
    """Grey tiles that are maps over the photo, each with its own scale.

    Attributes:
        sheet: PNG, one byte a value.
        limits: Per tile; a byte b stands for b / 255 * limit, or if ``signed`` for (b - 128) / 127 * limit.
        signed: Whether values below 0 occur.
        names: Of the tiles, e.g. ``"channel 17"`` or ``"head 3"``.
    """

    sheet: Sheet
    limits: tuple[float, ...]
    signed: bool
    names: tuple[str, ...]


@dataclass(frozen=True)
class WalkPicture:
    """What one layer of one network makes of one photo: its strongest channels.

    Attributes:
        photo, network: Positions.
        layer: Name.
        maps: The strongest channels, strongest first.
        channels: How many the layer has.
        silent: Share of them that is 0 everywhere on this photo, in [0, 1].
        attention: Maps of attention heads instead of channels.
    """

    photo: int
    network: int
    layer: str
    maps: MapSheet
    channels: int
    silent: float
    attention: bool = False


@dataclass(frozen=True)
class ClassMapShown:
    """Where in a photo a class gets its score from.

    Attributes:
        photo, strategy, label: Positions; the class need not be the predicted one.
        layer, method: E.g. ``"blocks.6"``, ``"Grad-CAM"``.
        height, width: Of the grid.
        values: Base64 of int8 (height * width), row by row; v / 127 * ``limit`` is the value.
        limit: Largest absolute value.
        exact: Whether the values sum to the score but for a constant.
        score: Of the class.
        fractions: Shares of pixels that are blurred, ascending.
        marked: Share of the class's lead over the others that is gone when the pixels the map marks most are blurred;
            one per fraction. 1 is what blurring the whole photo takes.
        random: The same for random pixels.
    """

    photo: int
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
    marked: tuple[float, ...] = ()
    random: tuple[float, ...] = ()


@dataclass(frozen=True)
class ProbePoint:
    """Accuracy on test of a linear classifier on a stage's pooled output, with its 95 % interval, in [0, 1]."""

    layer: str
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Change:
    """What fine-tuning changed at a layer: CKA in [0, 1] (1: the same up to rotation), |w - w0| / |w0| or None."""

    layer: str
    cka: float
    weight: float | None


@dataclass(frozen=True)
class ImageMap:
    """A map of test images in two dimensions for each network.

    Attributes:
        ids: Image ids, (N,).
        labels: True classes, (N,).
        thumbnails: N tiles.
        points: Network position -> N pairs in [0, 1].
        predicted: Strategy position -> N classes.
        training: Thumbnails of training photos that are a nearest one of some test photo.
        training_labels: Their classes.
        nearest: Network position -> N tuples of positions in ``training``, nearest first.
        words: Method and its settings, e.g. ``"t-SNE, perplexity 30, of 500 of 656 test images"``.
    """

    ids: tuple[str, ...]
    labels: tuple[int, ...]
    thumbnails: Sheet
    points: tuple[tuple[tuple[float, float], ...], ...]
    predicted: tuple[tuple[int, ...], ...]
    training: Sheet
    training_labels: tuple[int, ...]
    nearest: tuple[tuple[tuple[int, ...], ...], ...]
    words: str


@dataclass(frozen=True)
class ShowData:
    """All of the page. Parts that do not apply, as everything about data for a bare backbone, are empty.

    Attributes:
        title: Of the page.
        facts: Lines of (what, value): model, weights, input, device, date, command.
        classes: Names, (K,); a bare backbone may have none.
        dead_over: What ``LayerShown.dead`` was counted over, e.g. ``"1,500 images"``.
        probes: Network position -> by depth.
        probe_words: How many images, which classifier, what always answering the most frequent class gives.
        majority: That share, in [0, 1].
        changes: From the pretrained to the fine-tuned network, by layer.
        change_words: Over what it was measured.
        notes: What a reader should know.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    classes: tuple[str, ...]
    networks: tuple[Network, ...]
    strategies: tuple[StrategyShown, ...]
    photos: tuple[Photo, ...]
    walk: tuple[WalkPicture, ...]
    class_maps: tuple[ClassMapShown, ...] = ()
    probes: tuple[tuple[ProbePoint, ...], ...] = ()
    probe_words: str = ""
    majority: float | None = None
    changes: tuple[Change, ...] = ()
    change_words: str = ""
    image_map: ImageMap | None = None
    dead_over: str = ""
    notes: tuple[str, ...] = field(default_factory=tuple)
