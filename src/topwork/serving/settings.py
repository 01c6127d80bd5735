"""Limits on requests, and access control."""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from topwork.core.errors import UsageError
from topwork.data.images import MAX_PIXELS

TOKEN_VARIABLE = "TOPWORK_TOKEN"  # environment variable
MIN_TOKEN_LENGTH = 16  # characters


@dataclass(frozen=True)
class Limits:
    """Limits on what requests may cost.

    Attributes:
        max_body_bytes: Per request.
        max_files: Images per request.
        max_pixels: Per image, as its file declares them.
        max_decode_seconds: Processor time to decode an image.
        max_images_in_progress: Of all requests; a request that exceeds it gets status 503.
        max_request_bytes: Of all requests in progress.
        max_connections: Open at the same time.
        idle_timeout: Seconds within which a client must send something, complete the head of a request, and read
            what it is sent.
        min_upload_rate: Average bytes per second of a body, after ``idle_timeout``.
        shutdown_timeout: Seconds that a stop waits for requests in progress.
    """

    max_body_bytes: int = 64 << 20
    max_files: int = 128
    max_pixels: int = MAX_PIXELS
    max_decode_seconds: float = 10.0
    max_images_in_progress: int = 256
    max_request_bytes: int = 512 << 20
    max_connections: int = 512
    idle_timeout: float = 15.0
    min_upload_rate: float = 16 << 10
    shutdown_timeout: float = 30.0


@dataclass(frozen=True)
class Access:
    """Access control.

    Attributes:
        names: Allowed host names, in lower case. Numeric addresses are always allowed: DNS rebinding needs names.
        token: Required token; empty: none.
        is_new: Whether the token was made here; only then it may be printed.
    """

    names: frozenset[str]
    token: str = ""
    is_new: bool = False

    def accepts_host(self, host: str) -> bool:
        """Whether a ``Host`` header is allowed."""
        name = host.strip().lower()
        if name.startswith("["):
            name, closed, rest = name[1:].partition("]")
            return bool(closed) and _is_address(name) and _is_port(rest)
        name, colon, port = name.partition(":")
        return _is_port(colon + port) and (name in self.names or _is_address(name))

    def accepts_token(self, authorization: str) -> bool:
        """Whether an ``Authorization`` header has the token."""
        kind, _, token = authorization.partition(" ")
        equal = secrets.compare_digest(token.strip().encode(), self.token.encode())
        return not self.token or (kind.lower() == "bearer" and equal)


def _is_address(name: str) -> bool:
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _is_port(text: str) -> bool:
    return not text or (text[0] == ":" and text[1:].isdecimal() and text.isascii())


def access_for(host: str, names: Sequence[str] = (), token: bool = False) -> Access:
    """Access control for a server that is bound to ``host``.

    Args:
        host: Name or address.
        names: Additional host names, for instance behind a proxy.
        token: Require a token even if only this machine can reach the server.

    Raises:
        UsageError: The host does not exist, or the token in the environment is too short.
    """
    own = {"localhost", host.lower(), *(name.lower().rstrip(".") for name in names)}
    if not (token or os.environ.get(TOKEN_VARIABLE) or names) and is_loopback(host):
        return Access(frozenset(own))
    own_token = os.environ.get(TOKEN_VARIABLE)
    chosen = own_token or secrets.token_urlsafe(24)
    if len(chosen) < MIN_TOKEN_LENGTH or not chosen.isascii() or not chosen.isprintable() or " " in chosen:
        raise UsageError(
            f"{TOKEN_VARIABLE} must be at least {MIN_TOKEN_LENGTH} printable ASCII characters without spaces."
        )
    return Access(frozenset(own), chosen, is_new=not own_token)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that is bound to ``host``; raises as ``resolve``."""
    return all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for _, address in resolve(host, 0))


def resolve(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    """Address family and socket address for each address of a host.

    Raises:
        UsageError: The host does not exist.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {host}: {error}. Use 127.0.0.1, or an address of this machine.") from error
    return [(entry[0], entry[4]) for entry in found]
