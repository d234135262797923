"""Protocol errors: Local is our bug, Remote is the peer's fault (as in h11)."""

from postroom.mail.reply import Reply


class ProtocolError(Exception):
    """Something broke the protocol."""


class LocalProtocolError(ProtocolError):
    """We broke it: a bug in the shell."""


class RemoteProtocolError(ProtocolError):
    """The peer broke it. ``hint`` is the reply that describes it, for the log or the peer."""

    def __init__(self, message: str, hint: Reply | None = None) -> None:
        super().__init__(message)
        self.hint = hint
