"""Whether an exported model agrees with the bundle on real images, and if not, in which part it differs."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from topwork.core.artifacts import InputSpec
from topwork.core.errors import TopworkError
from topwork.core.image_ref import ImageRef
from topwork.data.images import UnreadableImage, load_image
from topwork.data.transforms import eval_transform
from topwork.inference.export.export_module import ExportModule
from topwork.inference.export.format import InferenceFn
from topwork.inference.predictor import Predictor

MAX_PROBABILITY_DIFFERENCE = 1e-4  # in float32
MIN_AGREEMENT = 0.999  # share of images with the same class
MAX_RESIZE_MISMATCH = 0.001  # share of pixels


class ExportFailed(TopworkError):
    """The exported model does not agree with the bundle."""


@dataclass(frozen=True)
class Agreement:
    """How far an exported model agrees with the bundle.

    Attributes:
        images: Number of images compared.
        same_class_share: Share with the same class; classes whose probabilities differ by less than the tolerance count
            as the same.
        difference: Largest difference of a probability.
        mean_difference: Mean over the images of their largest difference.
        worst_image: Name of the image with the largest difference.
    """

    images: int
    same_class_share: float
    difference: float
    mean_difference: float
    worst_image: str

    @property
    def within_tolerance(self) -> bool:
        """Whether the export may be kept."""
        return self.same_class_share >= MIN_AGREEMENT and self.difference <= MAX_PROBABILITY_DIFFERENCE

    def as_json(self) -> dict[str, Any]:
        """The fields, with the name of the worst image without its folder."""
        return {**asdict(self), "worst_image": Path(self.worst_image).name}

    def __str__(self) -> str:
        return (
            f"{self.images} images: same class for {self.same_class_share:.2%}, largest difference of a probability "
            f"{self.difference:.1e} (mean {self.mean_difference:.1e})"
        )


@dataclass(frozen=True)
class ReferenceOutputs:
    """Decoded images and what the bundle predicts for them.

    Attributes:
        images: uint8 (H, W, 3) each, by path; N of them.
        pixels: uint8 (N, 3, S, S), resized as in evaluation.
        probabilities: float64 (N, K), by the bundle in float32.
    """

    images: dict[str, np.ndarray]
    pixels: torch.Tensor
    probabilities: np.ndarray


def read_images(refs: Sequence[ImageRef], spec: InputSpec) -> dict[str, np.ndarray]:
    """The images that can be read, uint8 (H, W, 3) each, by path."""
    images = {}
    for ref in refs:
        with contextlib.suppress(UnreadableImage):
            images[str(ref)] = np.array(load_image(ref, spec.resize_size, spec.pixel_rules))
    return images


def compute_reference(model: Predictor, images: dict[str, np.ndarray]) -> ReferenceOutputs:
    """Run the bundle on images; the model must be in float32."""
    pixels = torch.stack([eval_transform(Image.fromarray(image), model.input_spec) for image in images.values()])
    return ReferenceOutputs(images, pixels, model.predict_batch(pixels).probabilities)


def predict_each(run: InferenceFn, reference: ReferenceOutputs) -> np.ndarray:
    """Run an exported model on the images, one at a time; probabilities float (N, K)."""
    return np.concatenate([run(image[None])[0] for image in reference.images.values()])


def compare(probabilities: np.ndarray, reference: ReferenceOutputs) -> Agreement:
    """Compare probabilities float (N, K) with those of the bundle."""
    expected = reference.probabilities
    differences = np.abs(probabilities - expected).max(axis=1)
    rows = np.arange(len(expected))
    margin = expected.max(axis=1) - expected[rows, probabilities.argmax(axis=1)]
    same_class = margin <= MAX_PROBABILITY_DIFFERENCE
    worst = int(np.argmax(np.where(np.isfinite(differences), differences, np.inf)))
    return Agreement(
        len(expected), float(same_class.mean()), float(differences[worst]), float(differences.mean()),
        list(reference.images)[worst],
    )  # fmt: skip


def check_module(module: ExportModule, reference: ReferenceOutputs) -> float:
    """Check the module in torch, the resize and the rest separately.

    Returns:
        Share of the resized pixels that differ from Pillow's.

    Raises:
        ExportFailed: With the part that differs from the bundle.
    """
    mismatched_pixels = 0
    with torch.inference_mode():
        for image, pixels in zip(reference.images.values(), reference.pixels, strict=True):
            mismatched_pixels += int((module.resize(torch.from_numpy(image)[None])[0] != pixels).sum())
        probabilities = torch.cat([module.network(block.float())[0] for block in reference.pixels.split(32)])
    share = mismatched_pixels / reference.pixels.numel()
    found = compare(probabilities.numpy(), reference)
    if not found.within_tolerance:
        raise ExportFailed(
            f"The model in torch differs from the bundle after the resize. {found}; worst: {found.worst_image}."
        )
    if share > MAX_RESIZE_MISMATCH:
        raise ExportFailed(
            f"The exported resize differs from Pillow's in {share:.2%} of the pixels. Is a different Pillow version "
            "installed?"
        )
    return share


def check_file(name: str, run: InferenceFn, reference: ReferenceOutputs) -> Agreement:
    """Check a written file, whose model has been checked in torch before.

    Raises:
        ExportFailed: With the worst image.
    """
    found = compare(predict_each(run, reference), reference)
    if not found.within_tolerance:
        raise ExportFailed(
            f"The {name} file differs from the bundle, although the model agrees in torch. {found}; allowed: "
            f"{MIN_AGREEMENT:.1%} and {MAX_PROBABILITY_DIFFERENCE:.0e}; worst: {found.worst_image}. Nothing was "
            "written. Choose another --format."
        )
    return found
