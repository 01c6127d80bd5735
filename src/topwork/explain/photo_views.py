"""The parts of the page that belong to single photos: guesses, the walk, attention, class maps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from topwork.explain.attention import attention_maps
from topwork.explain.attribution import ON_PIXELS, ClassMaps, class_maps
from topwork.explain.faithfulness import Deletion, deletion
from topwork.explain.layers import Layer
from topwork.explain.pictures import map_sheet, photograph, signed_bytes
from topwork.explain.scene import Scene
from topwork.explain.subject import Subject
from topwork.explain.walk import walk
from topwork.report.explained import ClassMapShown, Guess, Photo, WalkPicture

WALK_BYTES = 1_400_000  # of maps, before they are packed; the page shall stay below 5 MB
SIDE, SMALLEST = 28, 7  # rows of a map
CHANNELS, FEWER = 16, 9  # per stage, per other layer
CLASSES = 4  # per photo
DEPTHS = 4  # class maps by depth, those by further methods included
NAMED = 12  # layers asked for by name that get class maps; of all layers it would take hours


def show_photos(scene: Scene) -> tuple[Photo, ...]:
    """The photos as the networks are fed them, with what each strategy says."""
    pixels = denormalised(scene.x, scene.subjects[0])
    guesses = [_guesses(subject, scene.x) for subject in scene.subjects if subject.head is not None]
    return tuple(
        Photo(photo.name, photograph(pixels[i]), photo.label, photo.why, tuple(each[i] for each in guesses))
        for i, photo in enumerate(scene.photos)
    )


def denormalised(x: torch.Tensor, subject: Subject) -> np.ndarray:
    """Network input (B, 3, S, S) back to uint8 (B, S, S, 3)."""
    mean, std = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (subject.spec.mean, subject.spec.std))
    pixels = ((x * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).cpu().numpy()


def _guesses(subject: Subject, x: torch.Tensor, most: int = 5) -> list[tuple[Guess, ...]]:
    with torch.inference_mode():
        scores = subject.score(x).double().cpu().numpy()
    sure = subject.probabilities(scores)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :most]
    return [tuple(Guess(int(k), _short(scores[i, k]), _short(sure[i, k])) for k in row) for i, row in enumerate(best)]


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def show_walk(scene: Scene) -> tuple[WalkPicture, ...]:
    """Every layer's strongest channels, as far as they fit on a page: stages and layers that were asked for first."""
    large = {layer.name for layer in [*scene.stages, *(scene.asked if len(scene.asked) < len(scene.layers) else ())]}
    placed = [layer for layer in scene.layers if layer.has_place]
    side = _side_of_others(scene, placed, large)
    groups = [([layer for layer in placed if layer.name in large], SIDE, CHANNELS)]
    if side >= SMALLEST:
        groups.append(([layer for layer in placed if layer.name not in large], side, FEWER))
    pictures = []
    with scene.progress.track("layers of the photos", len(scene.networks), "networks") as step:
        for number, subject in enumerate(scene.networks.values()):
            for layers, rows, most in groups:
                views = walk(subject.backbone, scene.x, layers, {layer.name: rows for layer in layers}, most)
                for layer in layers:
                    for photo, view in enumerate(views[layer.name]):
                        names = [f"channel {c}" for c in view.channels]
                        maps = map_sheet(view.maps, names, rows)
                        pictures.append(
                            WalkPicture(photo, number, layer.name, maps, layer.channels, _short(view.silent))
                        )
            pictures += _attention(scene, subject, number)
            step.advance()
    return tuple(pictures)


def _side_of_others(scene: Scene, placed: list[Layer], large: set[str]) -> int:
    """How many rows the maps of layers that are no stage may have."""
    copies = len(scene.networks) * len(scene.photos)
    sides = {layer.name: math.isqrt(math.prod(layer.shape) // layer.channels) for layer in placed}
    used = sum(min(SIDE, sides[name]) ** 2 * CHANNELS for name in sides if name in large) * copies
    others = [sides[name] for name in sides if name not in large]
    budget = WALK_BYTES - used
    for side in range(SIDE, SMALLEST - 1, -1):
        if sum(min(side, own) ** 2 for own in others) * FEWER * copies <= budget:
            return side
    return SMALLEST if scene.asked else 0


def _attention(scene: Scene, subject: Subject, number: int) -> list[WalkPicture]:
    pictures = []
    for name, attention in attention_maps(subject.backbone, scene.x).items():
        for photo, heads in enumerate(attention.heads):
            names = [f"head {i}, {attention.query}" for i in range(len(heads))]
            maps = map_sheet(heads, names, SIDE)
            pictures.append(WalkPicture(photo, number, name, maps, len(heads), 0.0, attention=True))
    return pictures


def show_class_maps(scene: Scene, asked: Sequence[int], methods: Sequence[str]) -> tuple[ClassMapShown, ...]:
    """Class maps of every strategy for each photo.

    Args:
        scene: Whose strategies have heads.
        asked: Classes to show beside those that the strategies find likeliest and the true one.
        methods: For the last stages ``methods[0]``, for the last one and layers asked for all of them.
    """
    shown = []
    chosen = [_classes(scene, i, asked) for i in range(len(scene.photos))]
    with scene.progress.track("class maps", len(scene.photos) * len(scene.subjects), "photos x strategies") as step:
        for photo, classes in enumerate(chosen):
            x = scene.x[photo : photo + 1]
            for number, subject in enumerate(scene.subjects):
                maps = _maps_of(scene, subject, x, classes, methods)
                losses = deletion(subject, x, maps)
                for one, each in zip(maps, losses, strict=True):
                    shown += _shown(photo, number, one, each)
                step.advance()
    return tuple(shown)


def _classes(scene: Scene, photo: int, asked: Sequence[int]) -> tuple[int, ...]:
    if len(scene.classes) <= CLASSES:
        return tuple(range(len(scene.classes)))
    label = scene.photos[photo].label
    wanted = [*asked, *([label] if label is not None else [])]
    ranked = [_guesses(subject, scene.x[photo : photo + 1])[0] for subject in scene.subjects]
    likely = [guesses[rank].label for rank in range(2) for guesses in ranked]
    return tuple(dict.fromkeys([*wanted, *likely]))[: max(CLASSES, len(asked))]


def _maps_of(
    scene: Scene, subject: Subject, x: torch.Tensor, classes: Sequence[int], methods: Sequence[str]
) -> list[ClassMaps]:
    """From the last layer that the score depends on through its places, backwards."""
    maps: list[ClassMaps] = []
    further = [method for method in methods[1:] if method not in ON_PIXELS]
    named = [layer for layer in scene.asked if layer.has_place] if len(scene.asked) <= NAMED else []
    for layer in [layer for layer in reversed(scene.stages) if layer not in named]:
        if len(maps) >= DEPTHS:
            break
        found = class_maps(subject, x, classes, layer, methods[0])
        if np.abs(found.values).max() > 0:  # a class token is all that counts after the last block
            more = [] if maps else [class_maps(subject, x, classes, layer, method) for method in further]
            maps += [found, *more]
    for layer in named:
        maps += [class_maps(subject, x, classes, layer, method) for method in [methods[0], *further]]
    on_pixels = [method for method in methods if method in ON_PIXELS]
    return maps + [class_maps(subject, x, classes, scene.stages[-1], method) for method in on_pixels]


def _shown(photo: int, strategy: int, maps: ClassMaps, losses: Sequence[Deletion]) -> list[ClassMapShown]:
    shown = []
    for k, (label, loss) in enumerate(zip(maps.classes, losses, strict=True)):
        values = maps.values[0, k]
        text, limit = signed_bytes(values)
        shown.append(
            ClassMapShown(
                photo,
                strategy,
                label,
                maps.layer,
                maps.method,
                values.shape[0],
                values.shape[1],
                text,
                limit,
                maps.exact,
                _short(maps.scores[0, k]),
                loss.fractions,
                tuple(map(_short, loss.marked)),
                tuple(map(_short, loss.random)),
            )
        )
    return shown
