"""The endpoints. FastAPI reads the annotations of these functions: they are real types, known where it is imported."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any

from topwork.data.images import UnreadableImage
from topwork.serving import schema
from topwork.serving.bodies import Receiver
from topwork.serving.guard import App, Guard, Message, Receive, Scope, Send
from topwork.serving.metrics import TYPE
from topwork.serving.pages import Page, read_pages
from topwork.serving.refusals import GONE, Refused
from topwork.serving.service import Service, picture
from topwork.serving.settings import Access

if TYPE_CHECKING:
    from fastapi import FastAPI

MOST_NEIGHBOURS = 50
HEALTH = "/healthz"  # needs no token, like the page: they say nothing of the model

_FILE = {"type": "string", "format": "binary"}
_ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {"model": schema.Error, "description": "Why the request was not answered"},
    503: {
        "model": schema.Error,
        "description": "Too much is under way",
        "headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds"}},
    },
}


_SILENT: Any = dict.fromkeys(("tracing", "metrics", "logs", "operation_spans", "auto_configure"), False)


def make_app(service: Service, access: Access) -> App:
    """The whole application, guarded.

    Args:
        service: Answers.
        access: Who may ask.
    """
    from fastapi import FastAPI

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(service.decoders.start)
        yield
        await asyncio.to_thread(service.decoders.close)

    app = FastAPI(
        title="topwork serve", version=version("topwork"), summary="An image classifier that was trained by topwork.",
        docs_url=None, redoc_url=None, lifespan=lifespan, responses=_ERRORS, redirect_slashes=False, telemetry=_SILENT,
    )  # fmt: skip
    receiver = Receiver(service.limits, service.places)
    _add_predict(app, service, receiver)
    _add_explain(app, service, receiver)
    _add_facts(app, service)
    _add_refusals(app)
    pages = read_pages()
    _add_pages(app, pages)
    paths = frozenset(getattr(route, "path", "") for route in app.routes)
    return Guard(
        _measured(app, service, paths), access, service.limits, frozenset({HEALTH, *pages}),
        lambda status: service.metrics.request("refused", status, 0.0),
    )  # fmt: skip


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Any:
    """An answer in ASCII, which names that are no Unicode pass through, too."""
    from fastapi.responses import Response

    return Response(json.dumps(value), status, headers, "application/json")


def _body(fields: dict[str, Any]) -> dict[str, Any]:
    """The description of a multipart body: it is read by ``bodies``, which FastAPI does not know."""
    schema = {"type": "object", "required": ["files"], "properties": fields}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def _add_predict(app: "FastAPI", service: Service, receiver: Receiver) -> None:
    from fastapi import Query, Request

    files = _body({"files": {"type": "array", "items": _FILE, "minItems": 1}})
    many = Query(ge=0, le=MOST_NEIGHBOURS, description="Nearest training images to tell")

    @app.post("/predict", response_model=schema.Predictions, openapi_extra=files)
    async def predict(
        request: Request,
        top: Annotated[int, Query(ge=0, le=10**6, description="Classes to tell, the best first; 0 for all")] = 3,
        neighbours: Annotated[int, many] = 0,
    ) -> Any:
        """Class, probability, 'unsure' and 'unlike training' of one or many images, as `topwork predict` says them."""
        async with receiver.body(request) as body:
            work = service.predict(body.files, top, neighbours)
            return _json({"predictions": await _while_heard(request, work)})


def _add_explain(app: "FastAPI", service: Service, receiver: Receiver) -> None:
    from fastapi import Request
    from fastapi.responses import Response

    one = _body({"files": _FILE, "class": {"type": "array", "items": {"type": "string"}}})

    @app.post("/explain", response_model=schema.Explanation, openapi_extra=one)
    async def explain(request: Request) -> Any:
        """Where classes get their scores from in one image: the best class, or those in the fields `class`.

        With `Accept: image/png`, the map of the first class drawn over what the network sees.
        """
        drawn = request.headers.get("accept", "").startswith("image/png")
        async with receiver.body(request) as body:
            if len(body.files) > 1:
                raise Refused("Send one image at a time to /explain.")
            upload, labels = body.files[0], [value for name, value in body.fields if name == "class"]
            said: dict[str, Any] = {"image": upload.name, "error": None, "region": service.region, "maps": []}
            try:
                pixels, maps = await _while_heard(request, service.explain(upload, labels))
            except UnreadableImage as error:
                if drawn:
                    raise Refused(f"The image cannot be used: {error.reason}.") from error
                return _json({**said, "error": error.reason})
        if not drawn:
            return _json({**said, "maps": [_as_dict(one) for one in maps]})
        if not maps:
            raise Refused("There is no class map for this model.", HTTPStatus.NOT_FOUND)
        return Response(await asyncio.to_thread(picture, pixels, maps[0]), media_type="image/png")


def _as_dict(one: Any) -> dict[str, Any]:
    words = {name: getattr(one, name) for name in ("label", "exact", "method", "layer")}
    return {**words, "values": [[float(value) for value in row] for row in one.values]}


def _add_facts(app: "FastAPI", service: Service) -> None:
    from fastapi import Path
    from fastapi.responses import Response

    about = service.about()

    @app.get("/model", response_model=schema.Model)
    async def model() -> Any:
        """What answers, and what it allows."""
        return _json(about)

    @app.get("/training/{number}", response_class=Response)
    async def training(number: Annotated[int, Path(ge=0, le=10**9)]) -> Any:
        """A small picture of a training image, as `photo` of a neighbour names it."""
        found = await service.originals.picture(number)
        return Response(found, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})

    @app.get(HEALTH)
    async def healthz() -> Any:
        """Whether it works."""
        service.check()
        return _json({"status": "ok"})

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Any:
        """Figures in the Prometheus text format."""
        return Response(service.metrics.text(), media_type=TYPE)


def _add_pages(app: "FastAPI", pages: dict[str, Page]) -> None:
    from fastapi import Request
    from fastapi.responses import Response

    async def page(request: Request) -> Any:
        found = pages[request.url.path]
        return Response(found.data, media_type=found.type, headers={"cache-control": "no-cache"})

    for path in pages:
        app.add_api_route(path, page, methods=["GET", "HEAD"], include_in_schema=False)


def _add_refusals(app: "FastAPI") -> None:
    from fastapi import Request
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Any:
        return _json({"error": error.reason}, error.status, {"Retry-After": str(error.again)} if error.again else {})

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Any:
        said = "; ".join(f"{'.'.join(str(part) for part in e['loc'][1:])}: {e['msg']}" for e in error.errors())
        return _json({"error": said}, 400)

    @app.exception_handler(HTTPException)
    async def wrong(_: Request, error: HTTPException) -> Any:
        return _json({"error": str(error.detail)}, error.status_code, dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def broken(_: Request, error: Exception) -> Any:
        return _json({"error": "This server made a mistake; what went wrong stands in its log."}, 500)


async def _while_heard(request: Any, work: Awaitable[Any]) -> Any:
    """What ``work`` gives, unless the client hangs up before.

    Raises:
        Refused: It did.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Refused("The client has gone.", GONE)
        return await task
    finally:
        task.cancel()
        gone.cancel()


async def _hung_up(request: Any) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _measured(app: App, service: Service, paths: frozenset[str]) -> App:
    async def measured(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        start, status = time.monotonic(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, noting)
        finally:
            path = "/training/{number}" if scope["path"].startswith("/training/") else scope["path"]
            service.metrics.request(path if path in paths else "other", status, time.monotonic() - start)

    return measured
