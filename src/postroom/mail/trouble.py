"""Operational exceptions: the machine's fault, never the message's (DESIGN §3)."""


class StoreUnavailable(Exception):
    """The store cannot do it now: full, failing, locked. Nothing was written.

    ``full`` tells the reply: 452 4.3.1 or 451 4.3.0.
    """

    def __init__(self, message: str, *, full: bool = False) -> None:
        super().__init__(message)
        self.full = full


class ResolverUnavailable(Exception):
    """The DNS could not be asked or did not answer: try again later."""
