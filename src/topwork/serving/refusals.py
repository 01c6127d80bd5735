"""What a request is answered with if it is not done, once it was let in."""

from __future__ import annotations

from http import HTTPStatus

GONE = 499  # nginx's number for a client that has hung up: nobody hears it


class Refused(Exception):
    """A request is not answered.

    Args:
        reason: One sentence for whoever asked.
        status: Of HTTP.
        again: Seconds after which the same request may be answered; None: it never will be.
    """

    def __init__(self, reason: str, status: int = HTTPStatus.BAD_REQUEST, again: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.status, self.again = reason, int(status), again
