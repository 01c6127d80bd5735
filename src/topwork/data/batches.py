"""Batches of images, decoded in worker processes, whose number changes neither their order nor their content."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from topwork.core import seeds
from topwork.core.artifacts import InputSpec, Manifest, Splits
from topwork.core.errors import DataError
from topwork.core.image_ref import ImageRef
from topwork.data.child_process import init_loader_worker, signals_blocked
from topwork.data.images import UnreadableImage, load_image
from topwork.data.transforms import TrainTransform, collate_channels_last, eval_transform

EVALUATION = -1  # in place of an epoch: the image is not augmented


class _Images(Dataset[torch.Tensor | str]):
    """Image number i, augmented for epoch e; as it is in evaluation, or without a transform."""

    def __init__(
        self, refs: Mapping[str, ImageRef], ids: Sequence[str], spec: InputSpec, transform: TrainTransform | None
    ) -> None:
        try:
            self._refs = [refs[image] for image in ids]
        except KeyError as error:
            raise DataError(f"The data set has no image {error.args[0]} any more. Restore it.") from error
        self._ids, self._spec, self._transform = ids, spec, transform

    def __getitem__(self, index: tuple[int, int]) -> torch.Tensor | str:
        """The pixels, or what to do about an image that was lost: torch would make a traceback of its error."""
        try:
            return self._load(*index)
        except UnreadableImage as error:
            return f"{self._refs[index[1]]} can no longer be used: {error.reason}. Restore it and try again."
        except DataError as error:  # of its shard
            return str(error)

    def _load(self, epoch: int, number: int) -> torch.Tensor:
        ref = self._refs[number]
        if self._transform is None or epoch == EVALUATION:
            return eval_transform(load_image(ref, self._spec.resize_size, self._spec.pixel_rules), self._spec)
        image = load_image(ref, self._transform.min_side(epoch), self._spec.pixel_rules)
        return self._transform(image, epoch, self._ids[number])


def _collate(images: list[torch.Tensor | str]) -> torch.Tensor | str:
    """A batch, or the first of the messages."""
    pixels = [image for image in images if isinstance(image, torch.Tensor)]
    return next((image for image in images if isinstance(image, str)), "") or collate_channels_last(pixels)


Batches = list[list[tuple[int, int]]]  # of epochs and numbers


class _Loader(DataLoader[torch.Tensor | str]):
    """Loads batches; workers that are kept alive load what the caller puts into the same list for the next pass."""

    def __init__(self, images: _Images, batches: Batches, workers: int, keep_workers: bool = False) -> None:
        super().__init__(
            images,
            batch_sampler=batches,  # pyrefly: ignore[bad-argument-type]
            num_workers=workers,
            collate_fn=_collate,
            worker_init_fn=init_loader_worker,
            persistent_workers=keep_workers and workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def __iter__(self) -> Any:
        with signals_blocked():  # a signal that arrives before ``init_loader_worker`` would kill the workers
            batches = super().__iter__()
        return self._checked(batches)

    @staticmethod
    def _checked(batches: Iterator[torch.Tensor | str]) -> Iterator[torch.Tensor]:
        for batch in batches:
            if isinstance(batch, str):
                raise DataError(batch)
            yield batch


def eval_batches(
    refs: Mapping[str, ImageRef], ids: Sequence[str], spec: InputSpec, batch_size: int, workers: int
) -> Iterator[tuple[torch.Tensor, int]]:
    """Batches of images in order, uint8 (batch_size, 3, S, S), each with the number of images in it.

    The last batch is padded with its last image: with one fixed shape, the features of an image do not depend on how
    many others there are.

    Raises:
        DataError: An id has no reference, or an image can no longer be read.
    """
    batches = _padded([(EVALUATION, number) for number in range(len(ids))], batch_size)
    yield from _counted(_Loader(_Images(refs, ids, spec, None), batches, workers), len(ids), batch_size)


def augmented_batches(
    refs: Mapping[str, ImageRef],
    ids: Sequence[str],
    spec: InputSpec,
    transform: TrainTransform,
    keys: Sequence[tuple[int, int]],
    batch_size: int,
    workers: int,
) -> Iterator[tuple[torch.Tensor, int]]:
    """Like ``eval_batches`` for augmented images: a key is an epoch and a position in ``ids``."""
    loader = _Loader(_Images(refs, ids, spec, transform), _padded(keys, batch_size), workers)
    yield from _counted(loader, len(keys), batch_size)


def _padded(keys: Sequence[tuple[int, int]], batch_size: int) -> Batches:
    return [
        [keys[min(i, len(keys) - 1)] for i in range(start, start + batch_size)]
        for start in range(0, len(keys), batch_size)
    ]


def _counted(loader: _Loader, images: int, batch_size: int) -> Iterator[tuple[torch.Tensor, int]]:
    for number, pixels in enumerate(loader):
        yield pixels, min(batch_size, images - number * batch_size)


class Targets:
    """Labels and weights of the training images.

    Args:
        labels: Class indices int64 (N,).
        classes: K.
        weights: Weight of each image in the loss, float64 (N,) with mean 1, or None.
    """

    def __init__(self, labels: np.ndarray, classes: int, weights: np.ndarray | None = None) -> None:
        self._labels, self._classes = torch.from_numpy(labels), classes
        self._weights = None if weights is None else torch.from_numpy(weights).float()[:, None]

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: np.ndarray) -> torch.Tensor:
        """Class indices int64 (B,); with weights float32 (B, K), where the label has the image's weight."""
        labels = self._labels[index]
        if self._weights is None:
            return labels
        return torch.nn.functional.one_hot(labels, self._classes) * self._weights[index]


def train_weights(manifest: Manifest, splits: Splits, balance: bool = False) -> np.ndarray | None:
    """Weight of each training image in the loss, float64 (N,) with mean 1; None if all are equal.

    With ``balance`` the weights of each class have the same sum: equal images of a class of n_k weigh N / (K n_k).
    """
    weight = {row.id: row.weight for row in manifest.used}
    weights = np.array([weight[image] for image in splits.ids["train"]])
    if balance:
        labels = splits.labels["train"]
        weights = weights / np.bincount(labels, weights)[labels]
    return None if np.ptp(weights) == 0 else weights / weights.mean()


class TrainBatches:
    """Augmented training batches of any epoch, from any step of it, and batches for evaluation by the same workers.

    Args:
        refs: Image id to reference.
        ids: Training images, (N,).
        targets: Their labels, (N,).
        spec: Input of the network.
        transform: Augmentation.
        batch_size: Images per step; at most N are used. An incomplete last batch is dropped: the order changes every
            epoch, so an image is dropped twice in a row only by chance.
        seed: Of the run.
        workers: Processes that decode.
        rank_slice: Start and end of this process's share of a batch of N images; None: all of them.
        prepend_previous: Put the image before its share in front, since mixing pairs each image with the previous one.
        val: Validation images, for ``evaluation``.
    """

    def __init__(
        self,
        refs: Mapping[str, ImageRef],
        ids: Sequence[str],
        targets: Targets,
        spec: InputSpec,
        transform: TrainTransform,
        batch_size: int,
        seed: int,
        workers: int,
        rank_slice: Callable[[int], tuple[int, int]] | None = None,
        prepend_previous: bool = False,
        val: Sequence[str] = (),
    ) -> None:
        self._rank_slice, self._prepend_previous = rank_slice, prepend_previous
        self._val = {image: number for number, image in enumerate(val, len(ids))}
        self._targets = targets
        self._batch_size = min(batch_size, len(ids))
        self._seed = seed
        self._batches: Batches = []
        self._loader = _Loader(_Images(refs, [*ids, *val], spec, transform), self._batches, workers, keep_workers=True)

    def __len__(self) -> int:
        """Steps of an epoch."""
        return len(self._targets) // self._batch_size

    def epoch(self, epoch: int, first: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches ``first``, ``first + 1``, ... of an epoch: uint8 (B, 3, S, S) and ``Targets``."""
        order = seeds.epoch_permutation(self._seed, epoch, len(self._targets))
        size = self._batch_size
        chunks = [self._share(order[step * size : (step + 1) * size]) for step in range(first, len(self))]
        self._batches[:] = [[(epoch, int(i)) for i in chunk] for chunk in chunks]
        for pixels, chunk in zip(self._loader, chunks, strict=True):
            target = self._targets[chunk]
            yield pixels, target.pin_memory() if pixels.is_pinned() else target

    def evaluation(self, ids: Sequence[str], batch_size: int) -> Iterator[tuple[torch.Tensor, int]]:
        """Some of the validation images, as by ``eval_batches``. An epoch must have been read to its end before."""
        self._batches[:] = _padded([(EVALUATION, self._val[image]) for image in ids], batch_size)
        yield from _counted(self._loader, len(ids), batch_size)

    def _share(self, batch: np.ndarray) -> np.ndarray:
        """This process's share of the positions of a batch, (B,)."""
        if self._rank_slice is None:
            return batch
        first, last = self._rank_slice(len(batch))
        return np.append(batch[first - 1], batch[first:last]) if self._prepend_previous else batch[first:last]
