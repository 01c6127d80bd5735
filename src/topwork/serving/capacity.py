"""Admission control: limits on images and bytes in progress, and the error that rejects a request."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http import HTTPStatus

from topwork.serving.settings import Limits

RATE_WINDOW = 10.0  # seconds over which the rate of images is averaged
CLIENT_CLOSED_REQUEST = 499  # nginx's status for a client that has disconnected; nobody receives it


class RequestRejected(Exception):
    """A request is rejected.

    Args:
        reason: One sentence for the client.
        status: HTTP status.
        retry_after: Seconds after which the same request may succeed; None: never.
    """

    def __init__(self, reason: str, status: int = HTTPStatus.BAD_REQUEST, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.status, self.retry_after = reason, int(status), retry_after


class Capacity:
    """Counts images and bytes in progress; used by the event loop only.

    Attributes:
        images, memory: Images and bytes in progress.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.images = self.memory = 0
        self._rate, self._last = 0.0, time.monotonic()

    @contextmanager
    def reserve_images(self, images: int) -> Generator[None]:
        """Reserve capacity for N images.

        Raises:
            RequestRejected: Too many images are in progress.
        """
        if self.images + images > self._limits.max_images_in_progress:
            raise self._overloaded("too many images")
        self.images += images
        try:
            yield
        finally:
            self.images -= images
            now = time.monotonic()
            decay = math.exp((self._last - now) / RATE_WINDOW)
            self._rate, self._last = self._rate * decay + images / RATE_WINDOW, now

    @contextmanager
    def reserve_memory(self) -> Generator[Callable[[int], None]]:
        """A function that reserves a number of bytes until the end of the context.

        Raises:
            RequestRejected: The function, if too many bytes are in progress.
        """
        reserved = 0

        def reserve(size: int) -> None:
            nonlocal reserved
            if self.memory + size > self._limits.max_request_bytes:
                raise self._overloaded("too much data")
            self.memory += size
            reserved += size

        try:
            yield reserve
        finally:
            self.memory -= reserved

    def _overloaded(self, reason: str) -> RequestRejected:
        """The error, with the expected seconds until the images in progress are done, from 1 to 60."""
        seconds = min(60, max(1, math.ceil(self.images / self._rate))) if self._rate else 1
        message = f"The server is busy ({reason}). Retry after the number of seconds in Retry-After."
        return RequestRejected(message, HTTPStatus.SERVICE_UNAVAILABLE, seconds)
