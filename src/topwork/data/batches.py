"""Batches of images, decoded in worker processes; their order and content do not depend on how many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from topwork.core import seeds
from topwork.core.artifacts import InputSpec, Manifest, Splits
from topwork.data.child_process import exit_with_parent
from topwork.data.images import load_image
from topwork.data.transforms import TrainTransform, eval_pixels, in_a_batch
from topwork.data.worker_loader import SignalSafeDataLoader


class _Images(Dataset[torch.Tensor]):
    """Image number i of epoch e, transformed; the epoch is 0 in evaluation."""

    def __init__(self, root: Path, ids: Sequence[str], spec: InputSpec, transform: TrainTransform | None) -> None:
        self._root, self._ids, self._spec, self._transform = root, ids, spec, transform

    def __getitem__(self, index: tuple[int, int]) -> torch.Tensor:
        epoch, number = index
        path = self._root / self._ids[number]
        if self._transform is None:
            return eval_pixels(load_image(path, self._spec.resize_size), self._spec)
        return self._transform(load_image(path, self._transform.least(epoch)), epoch, self._ids[number])


class _Plan:
    """The batches of keys to come; set anew before each pass so that worker processes can stay alive."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, int]]] = []

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def _in_worker(_: int) -> None:
    exit_with_parent()


def _loader(images: _Images, plan: _Plan, workers: int, keep: bool) -> SignalSafeDataLoader[torch.Tensor]:
    return SignalSafeDataLoader(
        images,
        batch_sampler=plan,  # pyrefly: ignore[bad-argument-type]
        num_workers=workers,
        collate_fn=in_a_batch,
        worker_init_fn=_in_worker,
        persistent_workers=keep and workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def eval_batches(
    root: Path, ids: Sequence[str], spec: InputSpec, batch_size: int, workers: int
) -> Iterator[tuple[torch.Tensor, int]]:
    """The images in order, uint8 (batch_size, 3, S, S), each with the number of them that count.

    The last batch is filled up with its last image: with one fixed shape an image's features do not depend on how many
    others there are.
    """
    keys = [(0, number) for number in range(len(ids))]
    yield from _filled_up(_Images(root, ids, spec, None), keys, batch_size, workers)


def view_batches(
    root: Path,
    ids: Sequence[str],
    spec: InputSpec,
    transform: TrainTransform,
    keys: Sequence[tuple[int, int]],
    batch_size: int,
    workers: int,
) -> Iterator[tuple[torch.Tensor, int]]:
    """Like ``eval_batches`` for images as training sees them: a key is an epoch and a position in ``ids``."""
    yield from _filled_up(_Images(root, ids, spec, transform), keys, batch_size, workers)


def _filled_up(
    images: _Images, keys: Sequence[tuple[int, int]], batch_size: int, workers: int
) -> Iterator[tuple[torch.Tensor, int]]:
    plan = _Plan()
    plan.batches = [
        [keys[min(i, len(keys) - 1)] for i in range(start, start + batch_size)]
        for start in range(0, len(keys), batch_size)
    ]
    for number, pixels in enumerate(_loader(images, plan, workers, keep=False)):
        yield pixels, min(batch_size, len(keys) - number * batch_size)


class Targets:
    """What a training wants the network to say about some of its images.

    Args:
        labels: Class indices int64 (N,).
        classes: K.
        weights: What each image counts in the loss, float64 (N,) with mean 1, or None.
    """

    def __init__(self, labels: np.ndarray, classes: int, weights: np.ndarray | None = None) -> None:
        self._labels, self._classes = torch.from_numpy(labels), classes
        self._weights = None if weights is None else torch.from_numpy(weights).float()[:, None]

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: np.ndarray) -> torch.Tensor:
        """Class indices int64 (B,); with weights float32 (B, K), where the own class has the image's weight."""
        labels = self._labels[index]
        if self._weights is None:
            return labels
        return torch.nn.functional.one_hot(labels, self._classes) * self._weights[index]


def train_weights(manifest: Manifest, splits: Splits) -> np.ndarray | None:
    """What each image of train counts in the loss, float64 (N,) with mean 1; None if all count the same."""
    weight = {row.id: row.weight for row in manifest.used}
    weights = np.array([weight[image] for image in splits.ids["train"]])
    return None if np.ptp(weights) == 0 else weights / weights.mean()


class TrainBatches:
    """Augmented training batches of any epoch, from any step of it.

    Args:
        root: Folder that the ids are relative to.
        ids: Training images, (N,).
        targets: Their labels, (N,).
        spec: What the network is fed.
        transform: Augmentation.
        batch_size: Images a step; at most N are used. An incomplete last batch is left out: the order changes every
            epoch, so no image is left out twice in a row but by chance.
        seed: Of the run.
        workers: Processes that decode.
        cut: Where the share of this process in so many images of a batch begins and ends; all of them if None.
        neighbour: Put the image before its share in front, for mixing pairs each image with the one before it.
    """

    def __init__(
        self,
        root: Path,
        ids: Sequence[str],
        targets: Targets,
        spec: InputSpec,
        transform: TrainTransform,
        batch_size: int,
        seed: int,
        workers: int,
        cut: Callable[[int], tuple[int, int]] | None = None,
        neighbour: bool = False,
    ) -> None:
        self._cut, self._neighbour = cut, neighbour
        self._targets = targets
        self._batch_size = min(batch_size, len(ids))
        self._seed = seed
        self._plan = _Plan()
        self._loader = _loader(_Images(root, ids, spec, transform), self._plan, workers, keep=True)

    def __len__(self) -> int:
        """Steps of an epoch."""
        return len(self._targets) // self._batch_size

    def epoch(self, epoch: int, first: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches ``first``, ``first + 1``, ... of an epoch: uint8 (B, 3, S, S) and ``Targets``."""
        order = seeds.epoch_permutation(self._seed, epoch, len(self._targets))
        size = self._batch_size
        chunks = [self._share(order[step * size : (step + 1) * size]) for step in range(first, len(self))]
        self._plan.batches = [[(epoch, int(i)) for i in chunk] for chunk in chunks]
        for pixels, chunk in zip(self._loader, chunks, strict=True):
            target = self._targets[chunk]
            yield pixels, target.pin_memory() if pixels.is_pinned() else target

    def _share(self, batch: np.ndarray) -> np.ndarray:
        """What this process gets of the positions of a batch, (B,)."""
        if self._cut is None:
            return batch
        first, last = self._cut(len(batch))
        return np.append(batch[first - 1], batch[first:last]) if self._neighbour else batch[first:last]
