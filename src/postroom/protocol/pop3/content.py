"""A message on its way to the client: made conventional, cut after some lines for TOP, byte-stuffed (RFC 1939 §3, §7).

Pieces come in any size; a header field at most is kept between them, never a message.
"""

from postroom.protocol.pop3.surrogate import Surrogate

_BLANK = b"\n\r\n"  # the end of a line and an empty one: the header ends here (RFC 5322 §2.1)


class Stuffer:
    """Makes a multi-line answer of a message."""

    __slots__ = ("_end",)

    def __init__(self) -> None:
        self._end = b"\r\n"  # the last two octets that went out; a message begins a line

    def add(self, data: bytes) -> bytes:
        """What goes on the wire for the next piece."""
        if not data:
            return b""
        # Any LF begins a line here, not only CRLF: a client that reads lines so must not find an end where none is.
        stuffed = data.replace(b"\n.", b"\n..")
        if self._end.endswith(b"\n") and data.startswith(b"."):
            stuffed = b"." + stuffed
        self._end = (self._end + data[-2:])[-2:]
        return stuffed

    def end(self) -> bytes:
        """The termination octet, after a CRLF where the message lacks it."""
        return b".\r\n" if self._end == b"\r\n" else b"\r\n.\r\n"


class TopCutter:
    """Lets the header pass, the blank line after it, and ``lines`` lines of the body."""

    __slots__ = ("_in_header", "_lines", "_tail", "is_full")

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._in_header = True
        self._tail = b"\n"  # the header may be empty: then the message begins with its blank line
        self.is_full = False
        """Everything wanted has passed."""

    def cut(self, data: bytes) -> bytes:
        """As much of the next piece as is wanted."""
        if self.is_full:
            return b""
        body = 0  # where in the piece the body begins
        if self._in_header:
            joined = self._tail + data
            blank = joined.find(_BLANK)
            if blank < 0:
                self._tail = joined[-2:]
                return data
            body = blank + len(_BLANK) - len(self._tail)
            self._in_header = False
        there = data.count(b"\n", body)
        if there < self._lines:
            self._lines -= there
            return data
        self.is_full = True
        if not self._lines:
            return data[:body]
        return data[: len(data) - len(data[body:].split(b"\n", self._lines)[-1])]


class Outflow:
    """One message. ``lines``: of the body for TOP, None for RETR; ``utf8``: the client takes what there is."""

    __slots__ = ("_cutter", "_stuffer", "_surrogate")

    def __init__(self, lines: int | None, *, utf8: bool) -> None:
        self._surrogate = None if utf8 else Surrogate()
        self._cutter = None if lines is None else TopCutter(lines)  # lines of the surrogate (RFC 6858 §4)
        self._stuffer = Stuffer()

    def add(self, data: bytes) -> bytes:
        """What goes on the wire for the next piece."""
        return self._pass_on(data if self._surrogate is None else self._surrogate.add(data))

    def end(self) -> bytes:
        """The rest, and the termination octet."""
        rest = b"" if self._surrogate is None or self.is_full else self._surrogate.end()
        return self._pass_on(rest) + self._stuffer.end()

    @property
    def is_full(self) -> bool:
        """TOP has had its lines."""
        return self._cutter is not None and self._cutter.is_full

    def _pass_on(self, data: bytes) -> bytes:
        return self._stuffer.add(data if self._cutter is None else self._cutter.cut(data))
