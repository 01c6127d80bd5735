"""The HTTP endpoints. FastAPI reads the annotations of these functions at run time."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from topwork.data.images import UnreadableImage
from topwork.explain.attribution import ClassActivationMaps
from topwork.inference.class_activation_maps import overlay
from topwork.serving import schema
from topwork.serving.capacity import CLIENT_CLOSED_REQUEST, RequestRejected
from topwork.serving.guard import AccessMiddleware
from topwork.serving.metrics import CONTENT_TYPE
from topwork.serving.service import Service
from topwork.serving.settings import Access
from topwork.serving.uploads import parse_body

if TYPE_CHECKING:
    from fastapi import FastAPI

HEALTH_PATH = "/healthz"  # needs no token, like the page: neither reveals anything about the model

PAGE = Path(__file__).with_name("page")  # read once, when the server starts
_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FILE = {"type": "string", "format": "binary"}
_ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {"model": schema.Error, "description": "Reason for the rejection"},
    503: {
        "model": schema.Error,
        "description": "The server is busy",
        "headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds"}},
    },
}
_TELEMETRY_OFF: Any = dict.fromkeys(("tracing", "metrics", "logs", "operation_spans", "auto_configure"), False)


def make_app(service: Service, access: Access) -> AccessMiddleware:
    """Build the ASGI application."""
    from fastapi import FastAPI

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(service.decoders.start)
        yield
        await asyncio.to_thread(service.decoders.close)

    app = FastAPI(
        title="topwork serve", version=version("topwork"), summary="An image classifier that was trained by topwork.",
        docs_url=None, redoc_url=None, lifespan=lifespan, responses=_ERRORS, redirect_slashes=False,
        telemetry=_TELEMETRY_OFF,
    )  # fmt: skip
    _add_image_endpoints(app, service)
    _add_info_endpoints(app, service)
    _add_error_handlers(app)
    public_paths = _add_pages(app) | {HEALTH_PATH}
    return AccessMiddleware(app, access, service.limits, public_paths, service.metrics.request)


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Any:
    """A JSON response in ASCII, so that names that are not valid Unicode pass."""
    from fastapi.responses import Response

    return Response(json.dumps(value), status, headers, "application/json")


def _body(fields: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI description of a multipart body, which ``uploads`` parses instead of FastAPI."""
    schema = {"type": "object", "required": ["files"], "properties": fields}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def _add_image_endpoints(app: "FastAPI", service: Service) -> None:
    from fastapi import Query, Request
    from fastapi.responses import Response

    limits, capacity = service.limits, service.capacity
    files = _body({"files": {"type": "array", "items": _FILE, "minItems": 1}})
    one = _body({"files": _FILE, "class": {"type": "array", "items": {"type": "string"}}})

    @app.post("/predict", response_model=schema.Predictions, openapi_extra=files)
    async def predict(
        request: Request,
        top: Annotated[int, Query(ge=0, le=10**6, description="Classes to return, best first; 0 for all")] = 3,
        neighbours: Annotated[int, Query(ge=0, le=50, description="Number of nearest training images to return")] = 0,
    ) -> Any:
        """Predict one or more images: class, probability and flags, with the fields of `topwork predict`."""
        async with parse_body(request, limits, capacity) as (uploads, _):
            work = service.predict(uploads, top, neighbours)
            return _json({"predictions": await _cancel_on_disconnect(request, work)})

    @app.post("/explain", response_model=schema.Explanation, openapi_extra=one)
    async def explain(request: Request) -> Any:
        """Class activation maps of one image, for the predicted class or for the classes named in the fields `class`.

        With `Accept: image/png`, the map of the first class drawn over the input of the network.
        """
        as_png = request.headers.get("accept", "").startswith("image/png")
        async with parse_body(request, limits, capacity) as ((upload, *others), fields):
            if others:
                raise RequestRejected("Send one image per request to /explain.")
            labels = [value for name, value in fields if name == "class"]
            response: dict[str, Any] = {"image": upload.name, "error": None, "region": service.region, "maps": []}
            try:
                pixels, maps = await _cancel_on_disconnect(request, service.explain(upload, labels))
            except UnreadableImage as error:
                if as_png:
                    raise RequestRejected(f"The image cannot be used: {error.reason}.") from error
                return _json({**response, "error": error.reason})
        if not as_png:
            return _json({**response, "maps": _maps_to_json(maps, service.model.classes) if maps else []})
        if maps is None:
            raise RequestRejected("No class activation map is available for this model.", HTTPStatus.NOT_FOUND)
        file = io.BytesIO()
        await asyncio.to_thread(lambda: overlay(pixels, maps.values[0, 0]).save(file, "PNG"))
        return Response(file.getvalue(), media_type="image/png")


def _maps_to_json(maps: ClassActivationMaps, classes: Sequence[str]) -> list[dict[str, Any]]:
    common = {"exact": maps.exact, "method": maps.method, "layer": maps.layer}
    return [
        {"label": classes[k], **common, "values": values.tolist()}
        for k, values in zip(maps.classes, maps.values[0], strict=True)
    ]


def _add_info_endpoints(app: "FastAPI", service: Service) -> None:
    from fastapi import Path as PathParameter
    from fastapi.responses import Response

    model_info = service.model_info()

    @app.get("/model", response_model=schema.Model)
    async def model() -> Any:
        """Model information and limits."""
        return _json(model_info)

    @app.get("/training/{number}", response_class=Response)
    async def training(number: Annotated[int, PathParameter(ge=0, le=10**9)]) -> Any:
        """Thumbnail of a training image, as linked by `thumbnail_url` of a neighbour."""
        found = await service.thumbnails.thumbnail(number)
        return Response(found, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})

    @app.get(HEALTH_PATH)
    async def healthz() -> Any:
        """Health check."""
        return _json({"status": "ok"})

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Any:
        """Prometheus metrics."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)


def _add_pages(app: "FastAPI") -> frozenset[str]:
    """Add the page and its files; returns their paths."""
    from fastapi import Request
    from fastapi.responses import Response

    files = {f"/{path.name}": (path.read_bytes(), _MEDIA_TYPES[path.suffix]) for path in sorted(PAGE.iterdir())}
    files = {"/": files.pop("/index.html"), **files}

    async def page(request: Request) -> Any:
        data, media_type = files[request.url.path]
        return Response(data, media_type=media_type, headers={"cache-control": "no-cache"})

    for path in files:
        app.add_api_route(path, page, methods=["GET", "HEAD"], include_in_schema=False)
    return frozenset(files)


def _add_error_handlers(app: "FastAPI") -> None:
    from fastapi import Request
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException

    async def respond(_: Request, error: Exception) -> Any:
        message, status, headers = "Internal server error; see the server's log.", 500, {}
        if isinstance(error, RequestRejected):
            message, status = error.reason, error.status
            headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
        elif isinstance(error, RequestValidationError):
            faults = [(".".join(map(str, fault["loc"][1:])), fault["msg"]) for fault in error.errors()]
            message, status = "; ".join(f"{name}: {text}" for name, text in faults), 400
        elif isinstance(error, HTTPException):
            message, status, headers = str(error.detail), error.status_code, dict(error.headers or {})
        return _json({"error": message}, status, headers)

    for kind in (RequestRejected, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, respond)


async def _cancel_on_disconnect(request: Any, work: Awaitable[Any]) -> Any:
    """Await ``work``; cancel it if the client disconnects.

    Raises:
        RequestRejected: The client has disconnected.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_client_disconnected(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise RequestRejected("The client has disconnected.", CLIENT_CLOSED_REQUEST)
        return await task
    finally:
        task.cancel()
        gone.cancel()


async def _client_disconnected(request: Any) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
