"""What a request can be refused for once it was let in, each with its status."""

from __future__ import annotations


class Refused(Exception):
    """A request is not answered.

    Args:
        reason: One sentence for whoever asked.
        again: Seconds after which the same request may be answered; None: it never will be.
    """

    status = 400

    def __init__(self, reason: str, again: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.again = reason, again


class Unknown(Refused):
    """There is no such thing."""

    status = 404


class TooSlow(Refused):
    """The client does not send, or too little."""

    status = 408


class TooLarge(Refused):
    """The body is over the limit."""

    status = 413


class NotMultipart(Refused):
    """The body is of another type."""

    status = 415


class Gone(Refused):
    """The client has hung up: nobody hears this."""

    status = 499


class Broken(Refused):
    """The server itself cannot answer any more."""

    status = 500


class Busy(Refused):
    """There is no room for more at the moment."""

    status = 503
