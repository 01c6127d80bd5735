"""What a server allows: how much, how long, and whom."""

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

TOKEN = "TOPWORK_TOKEN"  # environment variable with a token of one's own
SHORTEST = 16  # characters of a token


@dataclass(frozen=True)
class Limits:
    """Bounds on what a request may cost.

    Attributes:
        body: Bytes of a request.
        files: Images of a request.
        pixels: Of an image, as its file declares them.
        decode: Seconds that an image may take to decode.
        queue: Images that are being answered at a time; beyond them a request is told to come again.
        memory: Bytes of all requests that are being received and answered at a time.
        connections: At a time.
        silence: Seconds in which a client must send something, and in which a request's head must be complete.
        rate: Bytes a second that a body must arrive with on average, after ``silence``.
        stop: Seconds in which a stop waits for what has begun.
    """

    body: int = 64 << 20
    files: int = 128
    pixels: int = MAX_PIXELS
    decode: float = 10.0
    queue: int = 256
    memory: int = 512 << 20
    connections: int = 512
    silence: float = 15.0
    rate: float = 16 << 10
    stop: float = 30.0


@dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes:
        names: Host names that a request may be addressed to, in lower case. Addresses in numbers are always right,
            since no foreign page can give itself one as its name (DNS rebinding).
        token: What a request must bring; empty: nothing.
    """

    names: frozenset[str]
    token: str = ""

    def right_host(self, host: str) -> bool:
        """Whether a request with this ``Host`` header is meant for this server."""
        name = host.strip().lower()
        if name.startswith("["):
            name, closed, rest = name[1:].partition("]")
            return bool(closed) and _is_address(name) and _is_port(rest)
        name, colon, port = name.partition(":")
        return _is_port(colon + port) and (name in self.names or _is_address(name))

    def right_token(self, given: str) -> bool:
        """Whether a request with this ``Authorization`` header may ask."""
        kind, _, token = given.partition(" ")
        right = secrets.compare_digest(token.strip().encode(), self.token.encode())
        return not self.token or (kind.lower() == "bearer" and right)


def _is_address(name: str) -> bool:
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _is_port(text: str) -> bool:
    return not text or (text[0] == ":" and text[1:].isdecimal() and text.isascii())


def choose_access(host: str, names: Sequence[str] = (), token: bool = False) -> Access:
    """Who may ask a server that is bound to ``host``.

    Args:
        host: Name or address.
        names: Further host names that it is reached by, for instance behind a proxy.
        token: Demand one even if only this machine can reach the server.

    Raises:
        UsageError: The host does not exist, or the token in the environment is too short.
    """
    own = {"localhost", host.lower(), *(name.lower().rstrip(".") for name in names)}
    if not (token or os.environ.get(TOKEN) or names) and is_loopback(host):
        return Access(frozenset(own))
    chosen = os.environ.get(TOKEN) or secrets.token_urlsafe(24)
    if len(chosen) < SHORTEST or not chosen.isascii() or not chosen.isprintable() or " " in chosen:
        raise UsageError(f"{TOKEN} must be at least {SHORTEST} printable ASCII characters without blanks.")
    return Access(frozenset(own), chosen)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what is bound to ``host``.

    Raises:
        UsageError: There is no such host.
    """
    return all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for _, address in resolve(host, 0))


def resolve(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    """Family and address of each place to bind for a host.

    Raises:
        UsageError: There is no such host.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {host}: {error}. Use 127.0.0.1, or an address of this machine.") from error
    return [(place[0], place[4]) for place in found]
