"""The error that endpoints raise to reject a request."""

from __future__ import annotations

from http import HTTPStatus

CLIENT_CLOSED_REQUEST = 499  # nginx's status for a client that has disconnected; nobody receives it


class RequestRejected(Exception):
    """A request is rejected.

    Args:
        reason: One sentence for the client.
        status: HTTP status.
        retry_after: Seconds after which the same request may succeed; None: never.
    """

    def __init__(self, reason: str, status: int = HTTPStatus.BAD_REQUEST, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.status, self.retry_after = reason, int(status), retry_after
