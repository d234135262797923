"""Lines out of a byte stream: bounded, whole, and ended by CRLF alone (RFC 5321 §2.3.8, RFC 1939 §3)."""

import re
from enum import Enum

from postroom.mail.value import value

_HEAD = 256  # octets kept of a line that is thrown away: enough for a log
_MAX_SKIPPED = 16 * 1024 * 1024  # octets of one line thrown away before the peer is taken to be malicious
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class LineFault(Enum):
    """What is wrong with a line."""

    BARE_LF = "bare LF"
    """It ended with an LF that has no CR before it."""
    TOO_LONG = "too long"
    """It was longer than the limit; all of it has been thrown away."""
    ENDLESS = "endless"
    """It was longer than the limit and does not end: the connection cannot be used any longer."""


@value(frozen=True, slots=True)
class BadLine:
    """A line that must not be obeyed. ``head`` is its beginning, for the log only."""

    fault: LineFault
    head: bytes


class LineReader:
    """Received bytes, handed out line by line or as they are. Holds no more than was fed, and no overlong line.

    ``strict`` lines end with CRLF; otherwise a bare LF ends a line too.
    """

    __slots__ = ("_buffer", "_head", "_position", "_skipped", "_strict")

    def __init__(self, *, strict: bool = True) -> None:
        self._strict = strict
        self._buffer = b""
        self._position = 0
        self._head = b""
        self._skipped = 0

    def feed(self, data: bytes) -> None:
        """Take what came."""
        if self._position == len(self._buffer):
            self._buffer = data
        else:
            self._buffer = self._buffer[self._position :] + data
        self._position = 0

    def next_line(self, limit: int, longer: tuple[bytes, int] | None = None) -> bytes | BadLine | None:
        """The next line without its end, what is wrong with it, or None if it is not complete.

        ``limit`` is in octets, the line's end included. ``longer`` is a word in upper case, and the limit of a line
        that begins with it in any case.
        """
        if self._skipped:
            return self._skip()
        buffer, start = self._buffer, self._position
        end = buffer.find(b"\n", start, start + limit)
        if end < 0:
            if len(buffer) - start < limit:
                return None
            if longer is not None and self.peek(len(longer[0])).upper() == longer[0]:
                return self.next_line(longer[1])
            self._head = buffer[start : start + _HEAD]
            return self._skip()
        self._position = end + 1
        if end > start and buffer[end - 1] == 13:  # CR
            return buffer[start : end - 1]
        if self._strict:
            return BadLine(LineFault.BARE_LF, buffer[start : min(end, start + _HEAD)])
        return buffer[start:end]

    def peek(self, size: int) -> bytes:
        """The next octets, at most ``size``, without taking them."""
        return self._buffer[self._position : self._position + size]

    def take(self, size: int) -> bytes:
        """Up to ``size`` octets as they are; ``b""`` if there are none."""
        start, end = self._position, self._position + size
        if start == 0 and end >= len(self._buffer):
            data, self._buffer = self._buffer, b""
            return data
        data = self._buffer[start:end]
        self._position = start + len(data)
        return data

    def take_all(self) -> bytes:
        """Everything as it is; ``b""`` if there is nothing."""
        data = self._buffer[self._position :] if self._position else self._buffer
        self._buffer, self._position = b"", 0
        return data

    def clear(self) -> None:
        """Forget everything received."""
        self._buffer, self._position, self._skipped = b"", 0, 0

    def __len__(self) -> int:
        return len(self._buffer) - self._position

    def _skip(self) -> BadLine | None:
        """Throw away the rest of an overlong line."""
        end = self._buffer.find(b"\n", self._position)
        taken = (end + 1 if end >= 0 else len(self._buffer)) - self._position
        self._position += taken
        self._skipped += taken
        if self._skipped > _MAX_SKIPPED:
            return BadLine(LineFault.ENDLESS, self._head)
        if end < 0:
            return None
        self._skipped = 0
        return BadLine(LineFault.TOO_LONG, self._head)


def visible(text: str) -> str:
    """The text with control characters escaped, so that a log, a terminal or a reply can show it."""
    return text if text.isascii() and text.isprintable() else _CONTROL.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode("ascii")
