"""Start a server for a run on a socket and stop it on a signal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Generator, Sequence
from typing import Any, Unpack

from topwork.core.errors import TopworkError, UsageError
from topwork.inference import InferenceOptions
from topwork.inference.predictor import load
from topwork.serving.app import make_app
from topwork.serving.service import Service
from topwork.serving.settings import Access, Limits, access_for, is_loopback, resolve


def run(
    folder: str | os.PathLike[str],
    host: str,
    port: int,
    host_names: Sequence[str],
    token: bool,
    limits: Limits,
    log: Callable[[str], None],
    **options: Unpack[InferenceOptions],
) -> int:
    """Serve until SIGINT or SIGTERM; see ``topwork.serve``. Returns the number of requests."""
    access = access_for(host, host_names, token)
    with contextlib.closing(bind(host, port)) as sock:
        service = Service(load(folder, log=log, **options), limits)
        service.network.start()
        try:
            url = _url(host, sock.getsockname()[1])
            message = f"#token={access.token}" if access.token else ""
            server = _server(service, access, limits, lambda: print(f"Serving {url}{message}", flush=True))
            log(_summary(service, host))
            asyncio.run(server.serve([sock]))
        finally:
            service.network.stop()
    if not server.started:
        raise TopworkError("The server could not start; see the error above.")
    return server.server_state.total_requests


def bind(host: str, port: int) -> socket.socket:
    """A socket that is bound to an address.

    Raises:
        UsageError: The address is not available.
    """
    family, address = resolve(host, port)[0]
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, or asyncio leaves Nagle's delay on
    try:
        if sys.platform != "win32":  # there it would allow two servers on one port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        message = f"--host {host} --port {port}: {error.strerror or error}. Choose another --port; 0 takes a free one."
        raise UsageError(message) from error
    return sock


def _url(host: str, port: int) -> str:
    """The URL to print; a server on all addresses is reachable on this machine."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/"


def _summary(service: Service, host: str) -> str:
    model = service.model
    spread = "" if is_loopback(host) else " Anyone who has the token and can reach this machine can use the server."
    return (
        f"Model     {model.bundle.strategy} on {model.bundle.model}, {len(model.classes)} classes; {model.engine}, "
        f"{model.compute.precision}, {', '.join(map(str, service.network.shapes))} images per batch.{spread}"
    )


def _server(service: Service, access: Access, limits: Limits, on_ready: Callable[[], None]) -> Any:
    import uvicorn

    from topwork.serving.protocol import make_protocol

    class Server(uvicorn.Server):
        """Exits with its own status instead of raising the signal again."""

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
            on_ready()

    for logger_name in ("uvicorn", "python_multipart"):  # clients must not be able to fill the log
        logging.getLogger(logger_name).setLevel(logging.ERROR)
    settings = uvicorn.Config(
        make_app(service, access), http=make_protocol(limits), ws="none", lifespan="on", log_config=None,
        access_log=False, server_header=False, proxy_headers=False,
        timeout_graceful_shutdown=int(limits.shutdown_timeout),
    )  # fmt: skip
    return Server(settings)
