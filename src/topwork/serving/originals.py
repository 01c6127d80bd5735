"""Training photographs to show beside a new one, as far as the run's data set is still where it was."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from http import HTTPStatus
from pathlib import Path

from topwork.data.decoder import THUMBNAIL, Request
from topwork.data.decoder_pool import DecoderPool
from topwork.data.images import UnreadableImage, split_box
from topwork.inference.predictor import Predictor
from topwork.inference.training_data import Origin
from topwork.serving.refusals import Refused

KEPT = 512  # small pictures, of some 10 kB


class Originals:
    """Small pictures of the training images that a bundle compares with, by their number in it.

    A request names a number and nothing else; which file that is, is fixed when the server starts.

    Args:
        model: Its bundle has the ids.
        origin: Where they lie; None if that is not known.
        decoders: What decodes them.
    """

    def __init__(self, model: Predictor, origin: Origin | None, decoders: DecoderPool) -> None:
        self._decoders = decoders
        self._numbers: dict[str, int] = {}
        self._files: list[Path] = []
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        bank = model.bundle.neighbours
        if bank is None or origin is None:
            return
        root, train = os.path.normpath(origin.root), origin.labels["train"]
        for image in bank.ids:
            path = os.path.normpath(os.path.join(root, image))
            if image in train and path.startswith(os.path.join(root, "")) and os.path.isfile(split_box(path)[0]):
                self._numbers[image] = len(self._files)
                self._files.append(Path(path))

    @property
    def any(self) -> bool:
        """Whether there is something to show."""
        return bool(self._files)

    def path_of(self, image: str) -> str | None:
        """The path in a URL that shows a training image; None if it cannot be shown."""
        number = self._numbers.get(image)
        return None if number is None else f"/training/{number}"

    async def picture(self, number: int) -> bytes:
        """A JPEG of at most 240 pixels.

        Raises:
            Refused: There is no such image, or it cannot be used any more.
        """
        if not 0 <= number < len(self._files):
            raise Refused("There is no such training image.", HTTPStatus.NOT_FOUND)
        if number not in self._kept:
            request = Request(THUMBNAIL, str(self._files[number]))
            try:
                _, self._kept[number] = await asyncio.wrap_future(self._decoders.submit(request))
            except UnreadableImage as error:
                raise Refused(
                    f"The training image cannot be used any more: {error.reason}.", HTTPStatus.NOT_FOUND
                ) from error
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(number)
        return self._kept[number]
