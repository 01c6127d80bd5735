"""Decoding for predictions: paths, uploads, PIL images and arrays become batches of network inputs, in order."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from PIL import Image

from topwork.core.artifacts import DEFAULT_RULES, InputSpec, PixelRules
from topwork.core.errors import UsageError
from topwork.core.image_ref import ImageRef
from topwork.data.decoder import NETWORK_INPUT, Request
from topwork.data.decoder_pool import in_order, shared_pool
from topwork.data.images import UnreadableImage, decode, load_image, to_upright_rgb
from topwork.data.resize import resize_for_network

ImageInput = ImageRef | str | os.PathLike[str] | bytes | Image.Image | np.ndarray  # what can be taken for an image


def to_rgb_image(item: ImageInput, min_side: int = 0, rules: PixelRules = DEFAULT_RULES) -> Image.Image:
    """An image by its path, the content of its file, a PIL image or an array, as an upright image of mode RGB.

    Args:
        item: An array is uint8 (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).
        min_side: Pixels that suffice; a much larger JPEG is decoded at a reduced size. 0: full size.
        rules: How to decode.

    Raises:
        UnreadableImage: It cannot be decoded.
        UsageError: It is none of these types.
    """
    if isinstance(item, bytes):
        return decode(item, min_side=min_side, rules=rules)[0]
    if isinstance(item, Image.Image):
        return to_upright_rgb(item, rules)
    if isinstance(item, np.ndarray):
        return to_upright_rgb(Image.fromarray(_checked(item)), rules)
    if isinstance(item, ImageRef | str | os.PathLike):
        return load_image(item, min_side, rules)
    raise UsageError(f"{type(item).__name__} is not an image; pass a path, bytes, a PIL image or uint8 (H, W, 3).")


def _checked(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise UnreadableImage(f"array of {array.dtype} {array.shape}; it must be uint8 (H, W), (H, W, 3) or (H, W, 4)")
    if not array.size:
        raise UnreadableImage(f"array of shape {array.shape} without pixels")
    return array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array


@dataclass(frozen=True)
class Batch:
    """Consecutive images.

    Attributes:
        items: As they were passed, (N,).
        pixels: uint8 (M, 3, S, S), channels last, of the usable images.
        reasons: Why an image cannot be used, (N,); empty for the M usable images.
    """

    items: list[Any]
    pixels: torch.Tensor
    reasons: list[str]


def decode_batches(items: Iterable[ImageInput], spec: InputSpec, batch_size: int, workers: int) -> Generator[Batch]:
    """Decode images in order; memory does not grow with their number.

    Args:
        items: May be endless.
        spec: Input of the network.
        batch_size: Images per batch.
        workers: Processes that decode files (PIL images and arrays are resized in as many threads); 0 decodes here.
    """
    with ThreadPoolExecutor(max(1, workers), "topwork-resize") as threads:

        def submit(item: ImageInput) -> Future[Any]:
            if not workers or not isinstance(item, bytes | ImageRef | str | os.PathLike):
                return threads.submit(_network_input, item, spec)
            if isinstance(item, bytes):
                return shared_pool(workers, os.getcwd()).submit(Request(NETWORK_INPUT, data=item, spec=spec))
            ref = item if isinstance(item, ImageRef) else ImageRef.parse(item)
            return shared_pool(workers, os.getcwd()).submit(Request(NETWORK_INPUT, ref, spec=spec))

        results = in_order(submit, items, 2 * (batch_size + workers))
        while chunk := list(islice(results, batch_size)):
            yield _batch(chunk, spec)


def _network_input(item: ImageInput, spec: InputSpec) -> tuple[None, bytes]:
    image = to_rgb_image(item, spec.resize_size, spec.pixel_rules)
    return None, resize_for_network(image, spec).tobytes()


def _batch(results: list[tuple[ImageInput, Future[Any]]], spec: InputSpec) -> Batch:
    pixels, reasons = [], []
    for _, future in results:
        try:
            pixels.append(np.frombuffer(future.result()[1], np.uint8))
            reasons.append("")
        except UnreadableImage as error:
            reasons.append(error.reason)
    shape = (len(pixels), spec.size, spec.size, 3)
    array = np.stack(pixels).reshape(shape) if pixels else np.zeros(shape, np.uint8)
    return Batch([item for item, _ in results], torch.from_numpy(array).permute(0, 3, 1, 2), reasons)
