"""How much is being answered at a time: places for images and bytes of memory, and when to come again."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus

from topwork.serving.refusals import Refused
from topwork.serving.settings import Limits

MEMORY_OF_RATE = 10.0  # seconds over which the images a second are averaged


class Places:
    """Room for what is under way; used on the event loop alone.

    Args:
        limits: ``queue`` and ``memory`` count.

    Attributes:
        images: That are being answered.
        memory: Bytes of requests that are being received and answered.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.images = self.memory = 0
        self._rate, self._last = 0.0, time.monotonic()

    @contextmanager
    def taken(self, images: int) -> Generator[None]:
        """Hold places while images are answered.

        Raises:
            Refused: There are not so many.
        """
        if self.images + images > self._limits.queue:
            raise self._full("Too many images are waiting.")
        self.images += images
        try:
            yield
        finally:
            self.images -= images
            self._note(images)

    def hold(self, size: int) -> None:
        """Hold so many bytes; the holder calls ``free``.

        Raises:
            Refused: There is no more memory to hold.
        """
        if self.memory + size > self._limits.memory:
            raise self._full("Too much is being sent at a time.")
        self.memory += size

    def free(self, size: int) -> None:
        """Give bytes back."""
        self.memory -= size

    def again(self) -> int:
        """Seconds until the images that wait now will be done, from 1 to 60."""
        return min(60, max(1, math.ceil(self.images / self._rate))) if self._rate else 1

    def _full(self, reason: str) -> Refused:
        return Refused(f"{reason} Come again after Retry-After seconds.", HTTPStatus.SERVICE_UNAVAILABLE, self.again())

    def _note(self, images: int) -> None:
        now = time.monotonic()
        passed, self._last = now - self._last, now
        kept = math.exp(-passed / MEMORY_OF_RATE)
        self._rate = self._rate * kept + images / MEMORY_OF_RATE
