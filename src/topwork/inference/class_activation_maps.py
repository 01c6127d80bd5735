"""Class activation maps of a model in use: which parts of an image raise or lower the score of a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from topwork.bundle.postprocessing import Prediction
from topwork.core import storage
from topwork.core.names import slug
from topwork.data.transforms import normalize
from topwork.explain.attribution import ClassActivationMaps
from topwork.explain.inspected_model import InspectedModel
from topwork.explain.joined_maps import last_maps
from topwork.explain.layers import Layer, list_layers, stages_by_network
from topwork.inference.pixels import Batch
from topwork.inference.predictor import Predictor

POSITIVE_COLOR, NEGATIVE_COLOR = (214, 69, 18), (33, 102, 172)


class ClassActivationMapper:
    """Computes class activation maps in float32: exact where network and head allow it, else Grad-CAM."""

    def __init__(self, model: Predictor) -> None:
        bundle, backbone, self._lock = model.bundle, model.backbone, model.lock
        self._model = InspectedModel(
            bundle.strategy, bundle.strategy, backbone.module, model.head, bundle.classes, bundle.input_spec,
            bundle.model, str(bundle.metadata["score_type"]), model.decision.probabilities,
        )  # fmt: skip
        self._stages: list[list[Layer]] | None = None

    def maps(self, pixels: torch.Tensor, classes: Sequence[int]) -> ClassActivationMaps | None:
        """The maps of classes, by their indices, for one image uint8 (1, 3, S, S); None if no layer is spatial."""
        model = self._model
        with self._lock:
            if model.head is not None:
                model.head.to(model.device)
            x = normalize(pixels, model.spec, model.device)
            if self._stages is None:
                self._stages = stages_by_network(model.backbone, list_layers(model.backbone, x))
            return last_maps(model, x, classes, self._stages)


def overlay(pixels: np.ndarray, values: np.ndarray) -> Image.Image:
    """A heatmap over the network's input: orange raises the score of the class, blue lowers it.

    Args:
        pixels: uint8 (S, S, 3).
        values: float (H, W).
    """
    side = pixels.shape[0]
    limit = float(np.abs(values).max()) or 1.0
    strength = np.asarray(Image.fromarray(values / limit).resize((side, side), Image.Resampling.BILINEAR))[..., None]
    color = np.where(strength > 0, np.array(POSITIVE_COLOR, float), np.array(NEGATIVE_COLOR, float))
    opacity = 0.65 * np.abs(strength) ** 0.7
    gray = pixels.mean(axis=2, keepdims=True) * 0.55 + pixels * 0.45
    return Image.fromarray(np.rint(gray * (1 - opacity) + color * opacity).clip(0, 255).astype(np.uint8))


class ClassActivationMapWriter:
    """Writes the heatmap of the best class for every predicted image into a folder, which is created."""

    def __init__(self, folder: Path, model: Predictor) -> None:
        self._folder, self._mapper, self._classes = folder, ClassActivationMapper(model), model.classes
        with storage.wrap_os_errors(folder):
            storage.make_folder(folder)

    def write(self, batch: Batch, predictions: Sequence[Prediction], rows_written: int) -> None:
        """Write ``NUMBER-NAME-CLASS.png`` for the images of a batch; NUMBER is the row, from 1."""
        usable = iter(batch.pixels.split(1))
        for row, prediction in enumerate(predictions, rows_written + 1):
            if prediction.error:
                continue
            pixels = next(usable)
            maps = self._mapper.maps(pixels, [self._classes.index(prediction.label)])
            if maps is not None:
                image, label = slug(Path(prediction.image).stem)[:60], slug(prediction.label)[:40]
                path = self._folder / f"{row:06d}-{image}-{label}.png"
                with storage.wrap_os_errors(path):
                    overlay(pixels[0].permute(1, 2, 0).numpy(), maps.values[0, 0]).save(path)
