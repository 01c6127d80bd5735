"""From a run to a server on a socket, until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Generator, Sequence
from typing import Any

from topwork.core.errors import TopworkError, UsageError
from topwork.inference.predictor import load
from topwork.serving.app import make_app
from topwork.serving.service import Service
from topwork.serving.settings import Access, Limits, choose_access, is_loopback, resolve


def run(
    folder: str | os.PathLike[str],
    host: str,
    port: int,
    names: Sequence[str],
    token: bool,
    limits: Limits,
    log: Callable[[str], None],
    **options: Any,
) -> int:
    """Serve until SIGINT or SIGTERM; see ``topwork.serve``. Returns the number of requests that were answered."""
    access = choose_access(host, names, token)
    with contextlib.closing(bind(host, port)) as place:
        service = Service(load(folder, log=log, **options), limits)
        service.network.start()
        try:
            url = _url(host, place.getsockname()[1])
            said = f"#token={access.token}" if access.token else ""
            server = _server(service, access, limits, lambda: print(f"Serving {url}{said}", flush=True))
            log(_summary(service, host))
            asyncio.run(server.serve([place]))
        finally:
            service.network.stop()
    if not server.started:
        raise TopworkError("The server did not start; its reason stands above.")
    return server.server_state.total_requests


def bind(host: str, port: int) -> socket.socket:
    """A socket at an address.

    Raises:
        UsageError: It is not to be had.
    """
    family, address = resolve(host, port)[0]
    place = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, or asyncio leaves Nagle's delay on
    try:
        if sys.platform != "win32":  # there it would allow two servers on one port
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(address)
    except OSError as error:
        place.close()
        said = f"--host {host} --port {port}: {error.strerror or error}. Choose another --port; 0 takes a free one."
        raise UsageError(said) from error
    return place


def _url(host: str, port: int) -> str:
    """Where a person finds it: a server on all addresses is found on this machine, too."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/"


def _summary(service: Service, host: str) -> str:
    model = service.model
    spread = "" if is_loopback(host) else " Whoever has the token and reaches this machine can ask."
    return (
        f"Model     {model.bundle.strategy} on {model.bundle.model}, {len(model.classes)} classes; {model.engine}, "
        f"{model.compute.precision}, {', '.join(map(str, service.network.shapes))} images at a time.{spread}"
    )


def _server(service: Service, access: Access, limits: Limits, ready: Callable[[], None]) -> Any:
    import uvicorn

    from topwork.serving.protocol import make_protocol

    class Server(uvicorn.Server):
        """Ends with its own exit status, not by the signal that asked it to stop."""

        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None]:
            old = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for number, handler in old.items():
                    signal.signal(number, handler)

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

    for chatty in ("uvicorn", "python_multipart"):  # what a client sends must not fill the log
        logging.getLogger(chatty).setLevel(logging.ERROR)
    settings = uvicorn.Config(
        make_app(service, access), http=make_protocol(limits), ws="none", lifespan="on", log_config=None,
        access_log=False, server_header=False, proxy_headers=False, timeout_graceful_shutdown=int(limits.stop),
    )  # fmt: skip
    return Server(settings)
