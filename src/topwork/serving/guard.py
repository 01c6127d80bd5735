"""The outermost layer: whose requests are let in, and the headers that every answer carries. Plain ASGI."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from topwork.serving.settings import Access, Limits

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), geolocation=(), microphone=()"),
]


class Guard:
    """Refuses what comes from other pages, for other hosts, without the token or too large, and never asks ``app``.

    Args:
        app: What is guarded.
        access: Who may ask.
        limits: ``body`` counts here, as far as the request says how long it is.
        open_paths: What needs no token: it holds nothing of the model.
        refused: Told the status of what was refused.
    """

    def __init__(
        self, app: App, access: Access, limits: Limits, open_paths: frozenset[str], refused: Callable[[int], None]
    ) -> None:
        self._app, self._access, self._limits = app, access, limits
        self._open, self._refused = open_paths, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", []))
                there = {name.lower() for name, _ in headers}
                more = [(b"cache-control", b"no-store")] if b"cache-control" not in there else []
                message = {**message, "headers": [*headers, *HEADERS, *more]}
            await send(message)

        verdict = self.judge(scope)
        if verdict is None:
            await self._app(scope, receive, guarded)
            return
        status, reason, headers = verdict
        self._refused(status)
        body = json.dumps({"error": reason}).encode()
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await guarded({"type": "http.response.start", "status": status, "headers": headers})
        await guarded({"type": "http.response.body", "body": body})

    def judge(self, scope: Scope) -> tuple[int, str, list[tuple[bytes, bytes]]] | None:
        """Status, reason and headers of a refusal; None if there is nothing against a request."""
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            headers[name.decode("latin-1").lower()] = value.decode("latin-1")
        host = headers.get("host", "")
        if not self._access.right_host(host):
            reason = f"This server is not {host or 'without a name'}; name it with --host-name if it is."
            return 403, reason, []
        if _is_foreign(scope["method"], host, headers):
            return 403, "Requests from pages of other origins are refused.", []
        if scope["path"] not in self._open and not self._access.right_token(headers.get("authorization", "")):
            return 401, "Send the token: Authorization: Bearer TOKEN.", [(b"www-authenticate", b"Bearer")]
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > self._limits.body:
            return 413, too_large(self._limits), []
        return None


def _is_foreign(method: str, host: str, headers: dict[str, str]) -> bool:
    """Whether a page of another origin sent this (Fetch Metadata, W3C), other than by a link that leads here."""
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2].lower() != host.strip().lower():
        return True
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return False
    return not (method == "GET" and headers.get("sec-fetch-mode") == "navigate")


def too_large(limits: Limits) -> str:
    """What is said about a body that is over the limit."""
    return f"A request may have {limits.body / 2**20:g} MiB. Send fewer images at a time, or start with --max-body."
