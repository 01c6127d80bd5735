"""The server's socket, its uvicorn, and its limits on connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Callable, Generator
from typing import Any

from topwork.core.errors import UsageError
from topwork.serving.app import make_app
from topwork.serving.service import Service
from topwork.serving.settings import Access, Limits, is_loopback, resolve

_OVERLOADED_BODY = (
    b'{"error": "The server is busy (too many connections). Retry after the number of seconds in Retry-After."}'
)
_OVERLOADED_RESPONSE = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(_OVERLOADED_BODY), _OVERLOADED_BODY)
)


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


def local_url(host: str, port: int) -> str:
    """The URL to print; a server on all addresses is reachable on this machine."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/"


def describe(service: Service, host: str) -> str:
    """One line on the model and on who can use the server."""
    model = service.model
    spread = "" if is_loopback(host) else " Anyone who has the token and can reach this machine can use the server."
    return (
        f"Model     {model.bundle.strategy} on {model.bundle.model}, {len(model.classes)} classes; {model.engine}, "
        f"{model.compute.precision}, {', '.join(map(str, service.network.shapes))} images per batch.{spread}"
    )


def make_server(service: Service, access: Access, limits: Limits, on_ready: Callable[[], None]) -> Any:
    """uvicorn's server, which calls ``on_ready`` once it listens."""
    import uvicorn

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


def make_protocol(limits: Limits) -> type[asyncio.Protocol]:
    """uvicorn's HTTP protocol with a limit on connections and a timeout for the head of a request."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class LimitedH11Protocol(H11Protocol):
        """Closes a connection on which no complete head of a request arrives in time, or whose client reads nothing."""

        _deadline: asyncio.TimerHandle | None = None
        _read_deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > limits.max_connections:
                transport.write(_OVERLOADED_RESPONSE)
                transport.close()
            else:
                self._arm_timeout()

        def data_received(self, data: bytes) -> None:
            if not self.transport.is_closing():
                super().data_received(data)
                self._arm_timeout()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._arm_timeout()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._read_deadline = self.loop.call_later(limits.idle_timeout, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._cancel_read_timeout()

        def connection_lost(self, exc: Exception | None) -> None:
            self._cancel_timeout()
            self._cancel_read_timeout()
            super().connection_lost(exc)

        def _arm_timeout(self) -> None:
            """Start the timeout unless a request is in progress."""
            if self.cycle is not None and not self.cycle.response_complete:
                self._cancel_timeout()
            elif self._deadline is None:
                self._deadline = self.loop.call_later(limits.idle_timeout, self._close_idle)

        def _close_idle(self) -> None:
            """Close at once: ``close`` would wait until the client has read what was sent."""
            self.transport.abort() if self.transport.get_write_buffer_size() else self.transport.close()

        def _cancel_timeout(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _cancel_read_timeout(self) -> None:
            if self._read_deadline is not None:
                self._read_deadline.cancel()
                self._read_deadline = None

    return LimitedH11Protocol
