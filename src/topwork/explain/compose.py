"""Put the parts of the page together: what belongs to photos always, what belongs to networks and data if wished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from topwork.explain.data_pass import Seen, draw_sample, look
from topwork.explain.data_views import pixels_of, show_changes, show_image_map, show_patches, show_probes
from topwork.explain.feature_visualization import dream
from topwork.explain.filters import first_filters
from topwork.explain.layers import Layer
from topwork.explain.photo_views import show_class_maps, show_photos, show_walk
from topwork.explain.pictures import colour_sheet
from topwork.explain.scene import Scene
from topwork.explain.subject import Subject
from topwork.explain.survey import survey
from topwork.explain.walk import Silence, walk
from topwork.report.explained import LayerShown, Network, ShowData, StrategyShown, Tiles

DREAMS, DREAM_SIDE = 4, 112  # channels per layer; pixels on the page
MOST_DREAMT = 3  # layers: each takes seconds


@dataclass(frozen=True)
class Wishes:
    """What shall be looked at; see ``show``."""

    layers: Sequence[str] = ()
    classes: Sequence[str] = ()
    methods: Sequence[str] = ()
    embedding: str = "tsne"
    photos: int = 4
    sample: int = 900
    quick: bool = False


def compose(
    scene: Scene, wishes: Wishes, classes: Sequence[int], title: str, facts: tuple[tuple[str, str], ...]
) -> ShowData:
    """All of the page.

    Args:
        scene: With photos.
        wishes: What to leave out, how much to look at.
        classes: Positions of the classes that were asked for.
        title: Of the page.
        facts: For its head.
    """
    has_head = scene.subjects[0].head is not None
    data = ShowData(
        title=title,
        facts=facts,
        classes=scene.classes,
        networks=tuple(
            Network(name, _words(scene, name), _layers(scene, _silence_of(scene, subject)), _filters(subject))
            for name, subject in scene.networks.items()
        ),
        strategies=_strategies(scene),
        photos=show_photos(scene),
        walk=show_walk(scene),
        class_maps=show_class_maps(scene, classes, ["auto", *(wishes.methods or ["recipro"])]) if has_head else (),
        dead_over=_count(len(scene.photos), "photo"),
    )
    if wishes.quick:
        return data
    if scene.dataset is None:
        return replace(data, networks=_with_dreams(scene, data.networks, {}))
    if scene.dataset.root is None:
        lost = "The images of the run are not where they were: what is about the data set is left out."
        return replace(data, networks=_with_dreams(scene, data.networks, {}), notes=(lost,))
    return _with_data(scene, data, wishes)


def _with_data(scene: Scene, data: ShowData, wishes: Wishes) -> ShowData:
    assert scene.dataset is not None
    sample = draw_sample(scene.dataset, wishes.sample)
    seen = look(scene, sample)
    pixels = pixels_of(scene)
    networks = tuple(
        replace(network, layers=_layers(scene, one.silence), patches=show_patches(scene, one, pixels))
        for network, one in zip(data.networks, seen.values(), strict=True)
    )
    changed, over = show_changes(scene, sample)
    return replace(
        data,
        networks=_with_dreams(scene, networks, seen),
        probes=show_probes(scene, seen, sample),
        probe_words=f"Trained on {len(sample.train):,} training images, tested on {len(sample.test):,} test images.",
        majority=float(np.bincount(sample.test_labels).max() / len(sample.test)),
        changes=changed,
        change_words=over,
        image_map=show_image_map(scene, seen, sample, wishes.embedding),
        dead_over=_count(len(sample), "image"),
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _words(scene: Scene, network: str) -> str:
    """A network as people call it: its weights, and the strategies that share them."""
    names = [subject.name for subject in scene.subjects if subject.network == network]
    return network if names == [network] else f"{network}, as {' and '.join(names)} see{'s' * (len(names) == 1)} it"


def _silence_of(scene: Scene, subject: Subject) -> Silence:
    silence = Silence()
    placed = [layer for layer in scene.layers if layer.has_place]
    survey(subject.backbone, placed, [(scene.x, [photo.name for photo in scene.photos], None)], [silence])
    return silence


def _layers(scene: Scene, silence: Silence) -> tuple[LayerShown, ...]:
    stages = {layer.name for layer in scene.stages}
    return tuple(
        LayerShown(
            layer.name,
            layer.kind,
            " x ".join(map(str, layer.shape)),
            str(scene.fields[layer.name]) if layer.name in scene.fields else "",
            silence.share(layer.name),
            layer.name in stages,
            layer.note,
        )
        for layer in scene.layers
    )


def _filters(subject: Subject) -> Tiles | None:
    found = first_filters(subject.backbone)
    if found is None:
        return None
    words = f"RGB weights; grey is 0, full colour is ±{found.limit:.3g}, one scale for all"
    return Tiles(found.layer, found.channels, colour_sheet(found.tiles, "PNG"), words)


def _strategies(scene: Scene) -> tuple[StrategyShown, ...]:
    if scene.subjects[0].head is None:
        return ()
    order = list(scene.networks)
    known = scene.dataset.predictions if scene.dataset else {}
    accuracy = {name: float((p.predicted == p.labels).mean()) for name, p in known.items()}
    return tuple(StrategyShown(s.name, order.index(s.network), s.scores, accuracy.get(s.name)) for s in scene.subjects)


def _with_dreams(scene: Scene, networks: tuple[Network, ...], seen: dict[str, Seen]) -> tuple[Network, ...]:
    """Dreams of layers that were asked for by name, else of the last stage if there is time: with a data set."""
    named = [layer for layer in scene.asked if layer.has_place and len(scene.asked) <= MOST_DREAMT]
    layers = named or (scene.stages[-1:] if seen else [])
    if not layers:
        return networks
    made = []
    with scene.progress.track("dreams", len(layers) * len(networks), "layers") as step:
        for network, subject in zip(networks, scene.networks.values(), strict=True):
            dreams = []
            for layer in layers:
                channels = _channels(scene, subject, layer, seen.get(network.name))
                tiles = dream(subject.backbone, layer, channels, subject.spec)
                words = "the picture that raises a channel's answer most, found by climbing from noise"
                dreams.append(Tiles(layer.name, channels, colour_sheet(_smaller(tiles, DREAM_SIDE)), words))
                step.advance()
            made.append(replace(network, dreams=tuple(dreams)))
    return tuple(made)


def _channels(scene: Scene, subject: Subject, layer: Layer, seen: Seen | None) -> tuple[int, ...]:
    """The channels whose patches are shown, else those that the first photo excites most."""
    if seen is not None and layer in scene.stages:
        return tuple(seen.patches.strongest(layer.name, DREAMS))
    return walk(subject.backbone, scene.x[:1], [layer], {layer.name: 1}, DREAMS)[layer.name][0].channels


def _smaller(tiles: np.ndarray, side: int) -> np.ndarray:
    pictures = [Image.fromarray(tile).resize((side, side), Image.Resampling.LANCZOS) for tile in tiles]
    return np.stack([np.asarray(picture) for picture in pictures])
