"""Parsing of multipart request bodies, in memory, with limits of size and time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from topwork.serving.capacity import CLIENT_CLOSED_REQUEST, Capacity, RequestRejected
from topwork.serving.guard import too_large_message
from topwork.serving.settings import Limits

MAX_FIELDS, MAX_FIELD_BYTES = 64, 4096  # text fields per request, bytes per field


@dataclass(frozen=True)
class Upload:
    """An uploaded file; its name is only returned, never opened."""

    name: str
    data: bytes = field(repr=False)


Form = tuple[list[Upload], list[tuple[str, str]]]
"""A multipart body: its files in order, and the names and values of its text fields."""


@asynccontextmanager
async def parse_body(request: Any, limits: Limits, capacity: Capacity) -> AsyncIterator[Form]:
    """The body of a Starlette request, in memory that is released at the end of the context.

    Raises:
        RequestRejected: Not multipart, malformed, too large, too slow or without a file; or the server is busy.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        message = "Send the images as multipart/form-data: curl -F files=@photo.jpg URL/predict"
        raise RequestRejected(message, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    with capacity.reserve_memory() as reserve:
        yield await _parse(request, limits, _chunks(request, limits, reserve))


async def _parse(request: Any, limits: Limits, chunks: AsyncGenerator[bytes, None]) -> Form:
    from starlette.datastructures import UploadFile
    from starlette.formparsers import MultiPartException, MultiPartParser
    from starlette.requests import ClientDisconnect

    parser = MultiPartParser(
        _boundary_only(request.headers),
        chunks,
        max_files=limits.max_files,
        max_fields=MAX_FIELDS,
        max_part_size=MAX_FIELD_BYTES,
    )
    parser.spool_max_size = limits.max_body_bytes + 1  # nothing goes to disk
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise RequestRejected(f"Malformed multipart body: {error.message}") from error
    except ClientDisconnect as error:
        raise RequestRejected("The client has disconnected.", CLIENT_CLOSED_REQUEST) from error
    files, fields = [], []
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            files.append(Upload(value.filename or name, value.file.read()))
            value.file.close()
        else:
            fields.append((name, value))
    if not files:
        raise RequestRejected("The body contains no file: curl -F files=@photo.jpg URL/predict")
    return files, fields


def _boundary_only(headers: Any) -> Any:
    """The content type with no parameter but the boundary: Starlette looks a charset up as a codec of Python."""
    from python_multipart.multipart import parse_options_header
    from starlette.datastructures import Headers

    kind, parameters = parse_options_header(headers["content-type"])
    boundary = parameters.get(b"boundary")
    return Headers(raw=[(b"content-type", kind if boundary is None else b'%s; boundary="%s"' % (kind, boundary))])


async def _chunks(request: Any, limits: Limits, reserve: Callable[[int], None]) -> AsyncGenerator[bytes, None]:
    start, size = time.monotonic(), 0
    chunks = request.stream().__aiter__()
    while True:
        left = start + limits.idle_timeout + size / limits.min_upload_rate - time.monotonic()
        try:
            async with asyncio.timeout(min(left, limits.idle_timeout)):
                chunk = await anext(chunks, None)
        except TimeoutError as error:
            message = "Timed out while receiving the request body."
            raise RequestRejected(message, HTTPStatus.REQUEST_TIMEOUT) from error
        if chunk is None:
            return
        size += len(chunk)
        if size > limits.max_body_bytes:
            raise RequestRejected(too_large_message(limits), HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        reserve(len(chunk))
        yield chunk
