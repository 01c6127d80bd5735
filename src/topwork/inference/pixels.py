"""Decoding for use: whatever names or holds an image becomes pixels or a reason, in worker processes and in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from topwork.core.artifacts import InputSpec
from topwork.core.errors import UsageError
from topwork.data.child_process import serve_parent
from topwork.data.images import UnreadableImage, decode_image, load_image, upright_rgb
from topwork.data.transforms import eval_pixels, in_a_batch
from topwork.data.worker_loader import Loader

Item = str | os.PathLike[str] | bytes | Image.Image | np.ndarray  # what can be taken for an image


def picture(item: Item, least: int = 0) -> Image.Image:
    """An image by path, by the bytes of a file, as a picture, or as an array: mode RGB, upright.

    Args:
        item: An array is uint8 (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).
        least: Sides in pixels that are enough.

    Raises:
        UnreadableImage: It cannot be used.
        UsageError: It is none of these.
    """
    if isinstance(item, bytes):
        return decode_image(item, least=least)
    if isinstance(item, Image.Image):
        return upright_rgb(item)
    if isinstance(item, np.ndarray):
        return upright_rgb(Image.fromarray(_checked(item)))
    if isinstance(item, str | os.PathLike):
        return load_image(os.fspath(item), least)  # pyrefly: ignore[bad-argument-type]
    raise UsageError(f"{type(item).__name__} is no image; give a path, bytes, a PIL image or a uint8 array (H, W, 3).")


def _checked(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise UnreadableImage(f"array of {array.dtype} {array.shape}; it must be uint8 (H, W), (H, W, 3) or (H, W, 4)")
    if not array.size:
        raise UnreadableImage(f"array of shape {array.shape} without pixels")
    return array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array


@dataclass(frozen=True)
class Batch:
    """Some images in order.

    Attributes:
        items: As they were given, (N,).
        pixels: uint8 (M, 3, S, S) of those that can be used.
        reasons: Why an image cannot be used, (N,); empty for the M that can.
    """

    items: list[Any]
    pixels: torch.Tensor
    reasons: list[str]


class _Decoded(Dataset[Any]):
    def __init__(self, spec: InputSpec) -> None:
        self._spec = spec

    def __getitem__(self, index: Item) -> torch.Tensor | str:  # the item itself: there is no list of all
        try:
            return eval_pixels(picture(index, self._spec.resize_size), self._spec)
        except UnreadableImage as error:
            return error.reason


class _Collate:
    """Of one size whatever is bad, so that worker processes can reuse the memory of a batch."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __call__(self, found: list[torch.Tensor | str]) -> tuple[torch.Tensor, list[str]]:
        good = [pixels for pixels in found if isinstance(pixels, torch.Tensor)]
        empty = torch.zeros(0, 3, self._size, self._size, dtype=torch.uint8)
        return in_a_batch(good) if good else empty, [one if isinstance(one, str) else "" for one in found]


class _Lists:
    """Lists of items, taken from the source when a worker is free; each waits until its batch comes back."""

    def __init__(self, items: Iterable[Item], size: int) -> None:
        self._items, self._size = iter(items), size
        self.waiting: deque[list[Item]] = deque()

    def __iter__(self) -> Iterator[list[Item]]:
        while chunk := list(islice(self._items, self._size)):
            self.waiting.append(chunk)
            yield chunk


def _in_worker(_: int) -> None:
    torch.set_num_threads(1)
    serve_parent()


def decoded(items: Iterable[Item], spec: InputSpec, size: int, workers: int) -> Generator[Batch]:
    """Decode images in order; memory does not grow with their number.

    Args:
        items: May be endless.
        spec: What the network is fed.
        size: Images a batch.
        workers: Processes; 0 decodes here.
    """
    lists = _Lists(items, size)
    loader = Loader(
        _Decoded(spec),
        batch_sampler=lists,  # pyrefly: ignore[bad-argument-type]
        num_workers=workers,
        collate_fn=_Collate(spec.size),
        worker_init_fn=_in_worker,
    )
    for pixels, reasons in loader:
        yield Batch(lists.waiting.popleft(), pixels, reasons)
