"""Thumbnails of training images, if the run's data set is still available."""

from __future__ import annotations

import asyncio
import os
from http import HTTPStatus

from topwork.core.image_ref import ImageRef
from topwork.data.decoder import THUMBNAIL, Request
from topwork.data.decoder_pool import DecoderPool
from topwork.data.images import UnreadableImage
from topwork.data.locations import exists
from topwork.inference.locate import TrainingData
from topwork.inference.predictor import Predictor
from topwork.serving.capacity import RequestRejected


class TrainingThumbnails:
    """Thumbnails of the training images that a bundle compares with, by number.

    Which file a number means is fixed when the server starts.

    Args:
        model: Its bundle has the ids.
        origin: Where the images are; None if that is not known.
        decoders: Decode the images.
    """

    def __init__(self, model: Predictor, origin: TrainingData | None, decoders: DecoderPool) -> None:
        self._decoders, self._rules = decoders, model.input_spec.pixel_rules
        refs: dict[str, ImageRef] = {}
        if model.bundle.neighbours is not None and origin is not None:
            root, train = os.path.join(os.path.normpath(origin.root), ""), origin.labels["train"]
            for image in model.bundle.neighbours.ids:
                path = os.path.normpath(origin.refs[image].path) if image in origin.refs else ""
                if image in train and path.startswith(root) and exists(origin.refs[image]):
                    refs[image] = origin.refs[image]
        self._files = list(refs.values())
        self._numbers = {image: number for number, image in enumerate(refs)}

    @property
    def available(self) -> bool:
        """Whether any training image is available."""
        return bool(self._files)

    def url_path(self, image: str) -> str | None:
        """URL path of a training image's thumbnail; None if it is not available."""
        number = self._numbers.get(image)
        return None if number is None else f"/training/{number}"

    async def thumbnail(self, number: int) -> bytes:
        """A JPEG of at most 240 pixels.

        Raises:
            RequestRejected: The number is unknown, or the image can no longer be read.
        """
        if not 0 <= number < len(self._files):
            raise RequestRejected("Unknown training image.", HTTPStatus.NOT_FOUND)
        request = Request(THUMBNAIL, self._files[number], rules=self._rules)
        try:
            _, jpeg = await asyncio.wrap_future(self._decoders.submit(request))
        except UnreadableImage as error:
            message = f"The training image can no longer be read: {error.reason}."
            raise RequestRejected(message, HTTPStatus.NOT_FOUND) from error
        return jpeg
