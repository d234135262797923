"""A reply: code, enhanced status and text, the one type for everything a peer is told (RFC 5321 §4.2, RFC 2034)."""

from dataclasses import field

from postroom.mail.value import value


@value(frozen=True, slots=True)
class Reply:
    """What one side of a session tells the other.

    ``code`` is the three-digit code, ``status`` the enhanced status (``"5.1.1"``) or ``""`` where RFC 2034 §4
    has none (greeting, EHLO, 354, 334), ``lines`` the text, one entry a line, never empty, without CR or LF.
    """

    code: int
    status: str = ""
    lines: tuple[str, ...] = ("",)
    _octets: bytes = field(default=b"", init=False, repr=False, compare=False)
    """As on the wire, once that was asked for: most replies are the same for all sessions."""

    @classmethod
    def of(cls, code: int, status: str, text: str) -> "Reply":
        """A reply of one line."""
        return cls(code, status, (text,))

    @property
    def text(self) -> str:
        """The lines joined by a space."""
        return " ".join(self.lines)

    @property
    def is_positive(self) -> bool:
        """2yz or 3yz: the command was accepted (RFC 5321 §4.2.1)."""
        return 200 <= self.code < 400

    @property
    def is_transient(self) -> bool:
        """4yz: the same command may succeed later."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """5yz: the same command will fail again."""
        return 500 <= self.code < 600

    def to_bytes(self) -> bytes:
        """The reply on the wire, CRLF included; the enhanced status stands on each line (RFC 2034 §4)."""
        return self._octets or self._write()

    def _write(self) -> bytes:
        prefix = f"{self.status} " if self.status else ""
        if len(self.lines) == 1:  # nearly all are
            octets = f"{self.code} {prefix}{self.lines[0]}\r\n".encode("utf-8", "replace")
        else:
            last = len(self.lines) - 1
            octets = b"".join(
                f"{self.code}{' ' if index == last else '-'}{prefix}{line}\r\n".encode("utf-8", "replace")
                for index, line in enumerate(self.lines)
            )
        object.__setattr__(self, "_octets", octets)
        return octets

    def __str__(self) -> str:
        if len(self.lines) == 1 and self.status and self.lines[0]:  # nearly all are so
            return f"{self.code} {self.status} {self.lines[0]}"
        return " ".join(part for part in (str(self.code), self.status, self.text) if part)
