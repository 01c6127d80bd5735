"""Whether an exported graph says what the bundle says, on real images, and if not, where they part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from topwork.core.errors import TopworkError
from topwork.data.images import UnreadableImage, load_image
from topwork.data.transforms import eval_pixels
from topwork.inference.export.export_module import Graph
from topwork.inference.export.format import Run
from topwork.inference.predictor import Predictor

DIFFERENCE = 1e-4  # of a probability, in float32
EQUAL = 0.999  # share of images with the same class


class ExportFailed(TopworkError):
    """The exported graph does not say what the bundle says."""


@dataclass(frozen=True)
class Agreement:
    """How far two ways of predicting agree.

    Attributes:
        images: On how many.
        equal: Share with the same best class; of two classes nearer than the tolerance either is right.
        difference: Largest difference of a probability.
        mean_difference: Mean over images of the largest.
        worst: The image with the largest difference.
    """

    images: int
    equal: float
    difference: float
    mean_difference: float
    worst: str

    @property
    def good(self) -> bool:
        """Whether it is within the tolerances."""
        return self.equal >= EQUAL and self.difference <= DIFFERENCE

    def __str__(self) -> str:
        return (
            f"{self.equal:.2%} of {self.images} images the same class, probabilities within {self.difference:.1e} "
            f"(mean {self.mean_difference:.1e})"
        )


@dataclass(frozen=True)
class Sample:
    """Decoded images and what the bundle says about them.

    Attributes:
        names: (N,).
        images: uint8 (H, W, 3) each.
        pixels: uint8 (N, 3, S, S): what evaluation makes of them.
        probabilities: float64 (N, K), by the bundle in float32.
    """

    names: list[str]
    images: list[np.ndarray]
    pixels: torch.Tensor
    probabilities: np.ndarray


def read_images(paths: Sequence[Path], least: int) -> dict[str, np.ndarray]:
    """Those that can be used, as uint8 (H, W, 3)."""
    found = {}
    for path in paths:
        try:
            found[str(path)] = np.array(load_image(path, least))
        except UnreadableImage:
            continue
    return found


def sample(model: Predictor, images: dict[str, np.ndarray]) -> Sample:
    """Run the bundle on images; the model must be in float32."""
    from PIL import Image

    pixels = torch.stack([eval_pixels(Image.fromarray(image), model.spec) for image in images.values()])
    return Sample(list(images), list(images.values()), pixels, model.answers(pixels).probabilities)


def compare(run: Run | Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], wanted: Sample) -> Agreement:
    """Run a graph on the images, one by one, and compare."""
    return agreement(np.concatenate([run(image[None])[0] for image in wanted.images]), wanted)


def agreement(found: np.ndarray, wanted: Sample) -> Agreement:
    """Compare probabilities float (N, K) with what the bundle says."""
    expected = wanted.probabilities
    differences = np.abs(found - expected).max(axis=1)
    rows = np.arange(len(expected))
    lead = expected.max(axis=1) - expected[rows, found.argmax(axis=1)]
    equal = lead <= DIFFERENCE
    worst = int(np.argmax(np.where(np.isfinite(differences), differences, np.inf)))
    return Agreement(
        len(expected), float(equal.mean()), float(differences[worst]), float(differences.mean()), wanted.names[worst]
    )


def check_graph(graph: Graph, wanted: Sample) -> float:
    """Check the graph in torch, part by part.

    Returns:
        Share of the pixels of the resize that are not Pillow's.

    Raises:
        ExportFailed: Saying in which part it differs from the bundle.
    """
    off = 0
    with torch.inference_mode():
        for image, pixels in zip(wanted.images, wanted.pixels, strict=True):
            off += int((graph.resize(torch.from_numpy(image)[None])[0] != pixels).sum())
        parts = [graph.network(block.float())[0] for block in wanted.pixels.split(32)]
    share = off / wanted.pixels.numel()
    found = agreement(torch.cat(parts).numpy(), wanted)
    if not found.good:
        raise ExportFailed(f"The graph in torch differs from the bundle after the resize: {found}; {found.worst}.")
    if share > 0.001:
        raise ExportFailed(f"The graph's resize differs from Pillow's in {share:.2%} of the pixels; is Pillow another?")
    return share


def check_file(name: str, run: Run, wanted: Sample) -> Agreement:
    """Check what was written.

    Raises:
        ExportFailed: Naming the worst image. The graph itself has been checked before.
    """
    found = compare(run, wanted)
    if not found.good:
        raise ExportFailed(
            f"The {name} file differs from the bundle, though its graph agrees in torch: {found}; allowed are "
            f"{EQUAL:.1%} and {DIFFERENCE:.0e}; worst: {found.worst}. Nothing was written; choose another --format."
        )
    return found
