"""One SMTP session of a load client: each command after the reply to the last, as smtp-source does it. Pure."""

from collections.abc import Sequence

Script = Sequence[tuple[bytes, bytes]]
"""The code that is expected, and what is sent then; the last but one is the content."""


def transaction(sender: bytes, recipient: bytes, content: bytes, *, login: bytes = b"") -> Script:
    """One message; ``content`` with its final dot, ``login`` the argument of AUTH PLAIN."""
    auth = ((b"250", b"AUTH PLAIN " + login + b"\r\n"),) if login else ()
    return (
        (b"220", b"EHLO origin.example\r\n"),
        *auth,
        (b"235" if login else b"250", b"MAIL FROM:<" + sender + b">\r\n"),
        (b"250", b"RCPT TO:<" + recipient + b">\r\n"),
        (b"250", b"DATA\r\n"),
        (b"354", content),
        (b"250", b"QUIT\r\n"),
    )


class Dialogue:
    """``heard`` gives what to send next. ``complaint`` is the reply that was not expected, then nothing is sent."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._step = 0
        self._buffer = b""
        self._over = False
        self.complaint = b""

    @property
    def is_sending(self) -> bool:
        """The content leaves now."""
        return self._step == len(self._script) - 1

    @property
    def is_over(self) -> bool:
        """QUIT was answered."""
        return self._over

    @property
    def is_taken(self) -> bool:
        """The message got its ``250``."""
        return self._step == len(self._script)

    def heard(self, data: bytes) -> bytes:
        """What to send; ``b""``: nothing yet, or no more."""
        self._buffer += data
        if not self._buffer.endswith(b"\r\n"):
            return b""
        last = self._buffer[:-2].rpartition(b"\r\n")[2]
        if last[3:4] == b"-":
            return b""
        self._buffer = b""
        if self.is_taken:  # 221
            self._over = True
            return b""
        code, line = self._script[self._step]
        if not last.startswith(code):
            self.complaint = last
            return b""
        self._step += 1
        return line
