"""uvicorn's HTTP protocol with a limit on connections and a timeout for the head of a request."""

from __future__ import annotations

import asyncio
from typing import Any

from topwork.serving.settings import Limits

_OVERLOADED_BODY = (
    b'{"error": "The server is busy (too many connections). Retry after the number of seconds in Retry-After."}'
)
_OVERLOADED_RESPONSE = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(_OVERLOADED_BODY), _OVERLOADED_BODY)
)


def make_protocol(limits: Limits) -> type[asyncio.Protocol]:
    """The protocol class for uvicorn.

    Args:
        limits: ``max_connections`` and ``idle_timeout`` are used.
    """
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class LimitedH11Protocol(H11Protocol):
        """Closes a connection on which no complete head of a request arrives in time."""

        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > limits.max_connections:
                transport.write(_OVERLOADED_RESPONSE)
                transport.close()
                return
            self._arm_timeout()

        def data_received(self, data: bytes) -> None:
            if not self.transport.is_closing():
                super().data_received(data)
                self._arm_timeout()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._arm_timeout()

        def connection_lost(self, exc: Exception | None) -> None:
            self._cancel_timeout()
            super().connection_lost(exc)

        def _arm_timeout(self) -> None:
            """Start the timeout unless a request is in progress."""
            if self.cycle is not None and not self.cycle.response_complete:
                self._cancel_timeout()
            elif self._deadline is None:
                self._deadline = self.loop.call_later(limits.idle_timeout, self.transport.close)

        def _cancel_timeout(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return LimitedH11Protocol
