"""The SMTP and LMTP client engine: commands in, bytes out; bytes in, replies out (RFC 5321, RFC 2033)."""

from postroom.protocol.smtp.commands import Command
from postroom.protocol.smtp.events import ClientEvent, Signal


class SmtpClient:
    """One connection, client side. Starts by waiting for the greeting."""

    def __init__(self, *, lmtp: bool = False) -> None:
        raise NotImplementedError

    def send(self, command: Command) -> bytes:
        """The command on the wire. LocalProtocolError if it is out of order, or if replies are outstanding and the
        server did not announce PIPELINING, or after a command that must be last in a group (RFC 2920 §3.1).
        """
        raise NotImplementedError

    def content(self, data: bytes) -> bytes:
        """A piece of content, dot-stuffed (RFC 5321 §4.5.2). LocalProtocolError on a bare CR or LF: nothing is smuggled out."""
        raise NotImplementedError

    def end_content(self) -> bytes:
        """The end of content: CRLF where the content lacks it, and the final dot."""
        raise NotImplementedError

    def receive_data(self, data: bytes) -> None:
        """Take what came; ``b""`` means that the server closed. Raises nothing: errors come from ``next_event``."""
        raise NotImplementedError

    def next_event(self) -> ClientEvent | Signal:
        """The next reply, Closed, or NEED_DATA. RemoteProtocolError on a malformed, oversized or unexpected reply."""
        raise NotImplementedError

    def tls_established(self) -> None:
        """The handshake is done: capabilities forgotten, anything buffered dropped, EHLO is next (RFC 3207 §4.2)."""
        raise NotImplementedError

    @property
    def capabilities(self) -> dict[str, str]:
        """EHLO keywords in upper case with their parameters; empty after HELO."""
        raise NotImplementedError

    @property
    def can_pipeline(self) -> bool:
        """PIPELINING was announced."""
        raise NotImplementedError

    @property
    def outstanding(self) -> int:
        """Commands whose replies have not come yet."""
        raise NotImplementedError
