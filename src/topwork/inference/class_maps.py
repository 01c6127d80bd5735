"""Class maps of a model in use: where in a photo a class gets its score from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from topwork.bundle.postprocessing import Prediction
from topwork.core import storage
from topwork.data.transforms import normalise
from topwork.explain.attribution import ClassMaps, class_maps
from topwork.explain.layers import Layer, list_layers, map_stages
from topwork.explain.subject import Subject
from topwork.inference.pixels import Batch
from topwork.inference.predictor import Predictor

SPEAKS_FOR, SPEAKS_AGAINST = (214, 69, 18), (33, 102, 172)


@dataclass(frozen=True)
class ClassMap:
    """Where one class gets its score from in one photo.

    Attributes:
        label: The class.
        values: float32 (H, W) over the square that the network sees; above 0 speaks for the class.
        exact: Whether the values sum up to the score, less a constant.
        method: In words.
        layer: Whose places are meant.
    """

    label: str
    values: np.ndarray
    exact: bool
    method: str
    layer: str


class Mapper:
    """Makes class maps, in float32: exact where network and head allow it, else Grad-CAM.

    Args:
        model: From ``load``.
    """

    def __init__(self, model: Predictor) -> None:
        bundle, backbone, self._busy = model.bundle, model.backbone, model.lock
        self._subject = Subject(
            bundle.strategy, bundle.strategy, backbone.module, model.head, bundle.classes, bundle.input_spec,
            bundle.model, str(bundle.metadata["score_type"]), model.decision.probabilities,
        )  # fmt: skip
        self._stages: list[Layer] | None = None

    def maps(self, pixels: torch.Tensor, classes: Sequence[int]) -> list[ClassMap]:
        """The maps of some classes, by their numbers, for one image uint8 (1, 3, S, S)."""
        with self._busy:
            return self._maps(pixels, classes)

    def _maps(self, pixels: torch.Tensor, classes: Sequence[int]) -> list[ClassMap]:
        subject = self._subject
        subject.head.to(subject.device) if subject.head is not None else None
        x = normalise(pixels, subject.spec, subject.device)
        if self._stages is None:
            self._stages = list(reversed(map_stages(subject.backbone, list_layers(subject.backbone, x))))
        found: ClassMaps | None = None
        for layer in self._stages:
            found = class_maps(subject, x, classes, layer)
            if np.abs(found.values).max() > 0:  # a class token is all that counts after the last block
                break
        if found is None:
            return []
        return [
            ClassMap(subject.classes[k], found.values[0, i], found.exact, found.method, found.layer)
            for i, k in enumerate(found.classes)
        ]


def overlay(pixels: np.ndarray, values: np.ndarray) -> Image.Image:
    """A class map over what the network sees: orange speaks for the class, blue against it.

    Args:
        pixels: uint8 (S, S, 3).
        values: float (H, W).
    """
    side = pixels.shape[0]
    limit = float(np.abs(values).max()) or 1.0
    share = np.asarray(Image.fromarray(values / limit).resize((side, side), Image.Resampling.BILINEAR))[..., None]
    colour = np.where(share > 0, np.array(SPEAKS_FOR, float), np.array(SPEAKS_AGAINST, float))
    opacity = 0.65 * np.abs(share) ** 0.7
    grey = pixels.mean(axis=2, keepdims=True) * 0.55 + pixels * 0.45
    return Image.fromarray(np.rint(grey * (1 - opacity) + colour * opacity).clip(0, 255).astype(np.uint8))


class MapFolder:
    """Writes a picture of the best class's map for every image that is predicted.

    Args:
        folder: Where to; it is made.
        model: From ``load``.
    """

    def __init__(self, folder: Path, model: Predictor) -> None:
        self._folder, self._mapper, self._classes = folder, Mapper(model), model.classes
        with storage.wrap_os_errors(folder):
            storage.make_folder(folder)

    def write(self, batch: Batch, predictions: Sequence[Prediction], before: int) -> None:
        """Write ``NUMBER-NAME-CLASS.png`` for the images of a batch; NUMBER is the row, from 1."""
        good = 0
        for row, prediction in enumerate(predictions, before + 1):
            if prediction.error:
                continue
            pixels = batch.pixels[good : good + 1]
            good += 1
            for one in self._mapper.maps(pixels, [self._classes.index(prediction.label)]):
                name = f"{row:06d}-{storage.slug(Path(prediction.image).stem)[:60]}-{storage.slug(one.label)[:40]}.png"
                picture = overlay(pixels[0].permute(1, 2, 0).numpy(), one.values)
                with storage.wrap_os_errors(self._folder / name):
                    picture.save(self._folder / name)
