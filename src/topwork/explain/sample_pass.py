"""One pass of every network over a sample of the data set; the sections about the data set are computed from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
import torch

from topwork.core.errors import DataError
from topwork.core.seeds import derive_seed
from topwork.data.batches import eval_batches
from topwork.data.transforms import normalize
from topwork.explain.channel_maps import InactiveChannels
from topwork.explain.context import RunDataset, ShowContext
from topwork.explain.inspected_model import InspectedModel
from topwork.explain.observers import Pooled, run_with_observers
from topwork.explain.patches import TopPatches

BATCH_SIZE = 32


@dataclass(frozen=True)
class Sample:
    """Training and test images: ids, class indices int64, and the ids of images that were chosen but cannot be read."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    train_labels: np.ndarray
    test_labels: np.ndarray
    lost: tuple[str, ...] = ()

    def without(self, lost: Sequence[str]) -> Sample:
        """The other images.

        Raises:
            DataError: No image of a split is left.
        """
        train, test = np.isin(self.train, lost, invert=True), np.isin(self.test, lost, invert=True)
        if not train.any() or not test.any():
            raise DataError(f"{lost[0]} and others of the chosen images cannot be read. Restore them, or use --quick.")
        ids = (tuple(compress(self.train, train)), tuple(compress(self.test, test)))
        return Sample(*ids, self.train_labels[train], self.test_labels[test], (*self.lost, *lost))

    @property
    def ids(self) -> tuple[str, ...]:
        """Training images, then test images."""
        return self.train + self.test

    @property
    def labels(self) -> np.ndarray:
        """Class indices, in the order of ``ids``."""
        return np.concatenate([self.train_labels, self.test_labels])


def draw_sample(dataset: RunDataset, size: int) -> Sample:
    """Random images, two thirds training and one third test images; all images of a split that has fewer."""
    rng = np.random.default_rng(derive_seed(0, "explained sample"))
    ids, labels = {}, {}
    for split, count in (("train", size - size // 3), ("test", size // 3)):
        chosen = np.sort(rng.permutation(len(dataset.splits.ids[split]))[: max(count, 1)])
        ids[split] = tuple(dataset.splits.ids[split][i] for i in chosen)
        labels[split] = dataset.splits.labels[split][chosen]
    sample = Sample(ids["train"], ids["test"], labels["train"], labels["test"])
    found = dataset.images.find_all(sample.ids) if dataset.images else {}
    lost = [image for image in sample.ids if image not in found]
    return sample.without(lost) if lost else sample


def find_unreadable(dataset: RunDataset, sample: Sample, min_side: int) -> list[str]:
    """The images of a sample that cannot be read any more."""
    lost = []
    for image in sample.ids:
        try:
            dataset.load(image, min_side)
        except DataError:
            lost.append(image)
    return lost


@dataclass(frozen=True)
class PassResults:
    """Results of one network on a sample: of all layers, of the stages, and features float32 (N, D)."""

    inactive: InactiveChannels
    patches: TopPatches
    pooled: Pooled
    features: np.ndarray


def run_pass(context: ShowContext, dataset: RunDataset, sample: Sample) -> dict[str, PassResults]:
    """Run every network on the sample; network name to its results."""
    results = {}
    stages = {layer.name for layer in context.stages}
    total = len(sample.ids) * len(context.networks)
    with context.progress.track("images through the networks", total) as step:
        for name, model in context.networks.items():
            observers = InactiveChannels(), TopPatches(stages), Pooled(stages)
            inputs = input_batches(context, dataset, model, sample.ids, step.advance)
            features = run_with_observers(model.backbone, context.spatial_layers, inputs, observers)
            results[name] = PassResults(*observers, features)
    return results


def input_batches(
    context: ShowContext,
    dataset: RunDataset,
    model: InspectedModel,
    ids: Sequence[str],
    advance: Callable[[int], None],
) -> Iterator[torch.Tensor]:
    """Images of the data set as network input float32 (B, 3, S, S)."""
    for pixels, count in eval_batches(dataset.refs, ids, model.spec, BATCH_SIZE, context.compute.workers):
        yield normalize(pixels[:count], model.spec, context.compute.device)
        advance(count)
