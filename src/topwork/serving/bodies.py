"""What a client sends: multipart bodies, kept in memory, within bounds of size and time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from topwork.serving.guard import too_large
from topwork.serving.places import Places
from topwork.serving.refusals import GONE, Refused
from topwork.serving.settings import Limits

FIELDS, FIELD = 64, 4096  # text fields of a request, and bytes of one


@dataclass(frozen=True)
class Upload:
    """A file that was sent.

    Attributes:
        name: As the client calls it; it is told back and means nothing else.
        data: Its bytes.
    """

    name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Body:
    """A multipart body: its files in order, and its text fields."""

    files: list[Upload]
    fields: list[tuple[str, str]]


class Receiver:
    """Reads bodies.

    Args:
        limits: ``body``, ``files``, ``silence`` and ``rate`` count.
        places: Where memory is held.
    """

    def __init__(self, limits: Limits, places: Places) -> None:
        self._limits, self._places = limits, places

    @asynccontextmanager
    async def body(self, request: Any) -> AsyncIterator[Body]:
        """The body of a Starlette request; its memory is given back at the end of the context.

        Raises:
            Refused: It is not multipart, malformed, too large, too slow, without a file, or there is no memory for it.
        """
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
            raise Refused(
                "Send the images as multipart/form-data: curl -F files=@photo.jpg URL/predict",
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            )
        held = [0]
        try:
            yield await self._parse(request, held)
        finally:
            self._places.free(held[0])

    async def _parse(self, request: Any, held: list[int]) -> Body:
        from starlette.datastructures import UploadFile
        from starlette.formparsers import MultiPartException, MultiPartParser
        from starlette.requests import ClientDisconnect

        parser = MultiPartParser(
            request.headers, self._chunks(request, held), max_files=self._limits.files, max_fields=FIELDS,
            max_part_size=FIELD,
        )  # fmt: skip
        parser.spool_max_size = self._limits.body + 1  # nothing goes to disk
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise Refused(f"The multipart body is not right: {error.message}") from error
        except ClientDisconnect as error:
            raise Refused("The client has gone.", GONE) from error
        files, fields = [], []
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                files.append(Upload(value.filename or name, value.file.read()))
                value.file.close()
            else:
                fields.append((name, value))
        if not files:
            raise Refused("There is no file in the body: curl -F files=@photo.jpg URL/predict")
        return Body(files, fields)

    async def _chunks(self, request: Any, held: list[int]) -> AsyncGenerator[bytes, None]:
        limits, start, size = self._limits, time.monotonic(), 0
        chunks = request.stream().__aiter__()
        while True:
            left = start + limits.silence + size / limits.rate - time.monotonic()
            try:
                async with asyncio.timeout(min(left, limits.silence)):
                    chunk = await anext(chunks, None)
            except TimeoutError as error:
                raise Refused("The body comes too slowly or not at all.", HTTPStatus.REQUEST_TIMEOUT) from error
            if chunk is None:
                return
            size += len(chunk)
            if size > limits.body:
                raise Refused(too_large(limits), HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            self._places.hold(len(chunk))
            held[0] += len(chunk)
            yield chunk
