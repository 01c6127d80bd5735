"""One pass of every network over a sample of the data set; what the page says about data comes from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from topwork.core.seeds import derive_seed
from topwork.data.batches import eval_batches
from topwork.data.transforms import normalise
from topwork.explain.patches import TopPatches
from topwork.explain.scene import Dataset, Scene
from topwork.explain.subject import Subject
from topwork.explain.survey import Observer, Pooled, survey
from topwork.explain.walk import Silence

BATCH = 32
Batch = tuple[torch.Tensor, list[str], list[int]]


@dataclass(frozen=True)
class Sample:
    """Training and test images that stand for all.

    Attributes:
        train, test: Image ids.
        train_labels, test_labels: Class indices, int64.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    train_labels: np.ndarray
    test_labels: np.ndarray

    @property
    def ids(self) -> tuple[str, ...]:
        """Training images, then test images."""
        return self.train + self.test

    @property
    def labels(self) -> np.ndarray:
        """Theirs."""
        return np.concatenate([self.train_labels, self.test_labels])

    def __len__(self) -> int:
        return len(self.ids)


def draw_sample(dataset: Dataset, size: int, seed: int = 0) -> Sample:
    """Two thirds training images and one third test images, drawn at random; all of a part that has fewer."""
    rng = np.random.default_rng(derive_seed(seed, "explained sample"))
    ids, labels = {}, {}
    for split, count in (("train", size - size // 3), ("test", size // 3)):
        chosen = np.sort(rng.permutation(len(dataset.splits.ids[split]))[: max(count, 1)])
        ids[split] = tuple(dataset.splits.ids[split][i] for i in chosen)
        labels[split] = dataset.splits.labels[split][chosen]
    return Sample(ids["train"], ids["test"], labels["train"], labels["test"])


@dataclass(frozen=True)
class Seen:
    """What a pass of one network over a sample leaves.

    Attributes:
        silence: Dead channels of all layers.
        patches: What excites the channels of the stages.
        pooled: The stages' pooled outputs.
        features: The backbone's, float32 (N, D), in the order of the sample.
    """

    silence: Silence
    patches: TopPatches
    pooled: Pooled
    features: np.ndarray


class _Only:
    """An observer of some layers."""

    def __init__(self, observer: Observer, names: set[str]) -> None:
        self._observer, self._names = observer, names

    def see(self, name: str, values: torch.Tensor, ids: Sequence[str], labels: Sequence[int] | None) -> None:
        if name in self._names:
            self._observer.see(name, values, ids, labels)


def look(scene: Scene, sample: Sample) -> dict[str, Seen]:
    """Show every network the sample; network name to what that left."""
    seen = {}
    stages = {layer.name for layer in scene.stages}
    placed = [layer for layer in scene.layers if layer.has_place]
    with scene.progress.track("images through the networks", len(sample) * len(scene.networks)) as step:
        for name, subject in scene.networks.items():
            silence, pooled = Silence(), Pooled()
            patches = TopPatches(scene.stages, classes=len(scene.classes))
            observers = [silence, _Only(pooled, stages), _Only(patches, stages)]
            features, _ = survey(subject.backbone, placed, batches(scene, subject, sample, step.advance), observers)
            seen[name] = Seen(silence, patches, pooled, features)
    return seen


def batches(scene: Scene, subject: Subject, sample: Sample, advance: Callable[[int], None]) -> Iterator[Batch]:
    """The sample as network input float32 (B, 3, S, S), with ids and labels."""
    assert scene.dataset is not None
    assert scene.dataset.root is not None
    ids, labels = list(sample.ids), sample.labels.tolist()
    decoded = eval_batches(scene.dataset.root, ids, subject.spec, BATCH, scene.compute.workers)
    for number, (pixels, count) in enumerate(decoded):
        split = slice(number * BATCH, number * BATCH + count)
        yield normalise(pixels[:count], subject.spec, scene.compute.device), ids[split], labels[split]
        advance(count)
