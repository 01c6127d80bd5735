"""Thumbnails of training images, if the run's data set is still available."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

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
        self._origin, self._images = origin, list[str]()
        if model.bundle.neighbours is not None and origin is not None:
            refs, ids = origin.images.refs, dict.fromkeys(model.bundle.neighbours.ids)
            self._images = [image for image in ids if image in refs and exists(refs[image])]
        self._numbers = {image: number for number, image in enumerate(self._images)}

    @property
    def available(self) -> bool:
        """Whether any training image is available."""
        return bool(self._images)

    def url_path(self, image: str) -> str | None:
        """URL path of a training image's thumbnail; None if it is not available."""
        number = self._numbers.get(image)
        return None if number is None else f"/training/{number}"

    async def thumbnail(self, number: int) -> bytes:
        """A JPEG of at most 240 pixels.

        Raises:
            RequestRejected: The number is unknown, or the image can no longer be read.
        """
        if self._origin is None or not 0 <= number < len(self._images):
            raise RequestRejected("Unknown training image.", HTTPStatus.NOT_FOUND)
        ref = await asyncio.to_thread(self._origin.images.find, self._images[number])
        if ref is None:
            message = "The training image is gone, or has changed since the training."
            raise RequestRejected(message, HTTPStatus.NOT_FOUND)
        request = Request(THUMBNAIL, ref, rules=self._rules)
        try:
            _, jpeg = await asyncio.wrap_future(self._decoders.submit(request))
        except UnreadableImage as error:
            message = f"The training image can no longer be read: {error.reason}."
            raise RequestRejected(message, HTTPStatus.NOT_FOUND) from error
        return jpeg
