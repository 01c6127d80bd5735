"""ASGI middleware: access control, and the security headers and metrics of every response."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from topwork.serving.settings import Access, Limits

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = [
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), geolocation=(), microphone=()"),
]


class AccessMiddleware:
    """Rejects requests from other origins, for other hosts, without the token or with too large a declared body.

    Args:
        app: The application, which gets the other requests.
        access, limits: Of the server.
        public_paths: Paths that need no token.
        on_response: Called with the path of the route, ``"other"`` if there is none or ``"refused"``, with the status
            and with the duration in seconds.
    """

    def __init__(
        self, app: ASGIApp, access: Access, limits: Limits, public_paths: frozenset[str],
        on_response: Callable[[str, int, float], None],
    ) -> None:  # fmt: skip
        self._app, self._access, self._limits = app, access, limits
        self._public, self._on_response = public_paths, on_response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.monotonic(), 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", []))
                if all(name.lower() != b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*headers, *SECURITY_HEADERS]}
            await send(message)

        rejection = self.check_request(scope)
        if rejection is None:
            try:
                await self._app(scope, receive, send_with_headers)
            finally:
                path = getattr(scope.get("route"), "path", "other")
                self._on_response(path, status, time.monotonic() - start)
            return
        status, reason, headers = rejection
        self._on_response("refused", status, 0.0)
        body = json.dumps({"error": reason}).encode()
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send_with_headers({"type": "http.response.start", "status": status, "headers": headers})
        await send_with_headers({"type": "http.response.body", "body": body})

    def check_request(self, scope: Scope) -> tuple[int, str, list[tuple[bytes, bytes]]] | None:
        """Status, reason and headers of a rejection; None if the request is allowed."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if not self._access.accepts_host(host):
            advice = f"If the server should be reached by this name, start it with --host-name {host}." if host else ""
            return 403, f"Host {host!r} is not allowed. {advice}".strip(), []
        if _is_cross_origin(scope["method"], host, headers):
            return 403, "Cross-origin requests are not allowed.", []
        if scope["path"] not in self._public and not self._access.accepts_token(headers.get("authorization", "")):
            return 401, "Send the token: Authorization: Bearer TOKEN.", [(b"www-authenticate", b"Bearer")]
        if "content-length" in headers and "transfer-encoding" in headers:  # RFC 9112, 6.3: a proxy may take the other
            return 400, "Send Content-Length or Transfer-Encoding, not both.", [(b"connection", b"close")]
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > self._limits.max_body_bytes:
            return 413, too_large_message(self._limits), []
        return None


def _is_cross_origin(method: str, host: str, headers: dict[str, str]) -> bool:
    """Whether a page of another origin sent this (Fetch Metadata, W3C), other than by following a link."""
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2].lower() != host.strip().lower():
        return True
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return False
    return not (method == "GET" and headers.get("sec-fetch-mode") == "navigate")


def too_large_message(limits: Limits) -> str:
    """The error message for a body above the limit."""
    size = f"{limits.max_body_bytes / 2**20:g} MiB"
    return f"The request is larger than {size}. Send fewer images per request, or start with a larger --max-body."
