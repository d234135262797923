"""Content on its way in and out: only <CRLF>.<CRLF> ends it, only CRLF ends its lines (RFC 5321 §2.3.8, §4.1.1.4)."""

import re

from postroom.mail.reply import Reply
from postroom.protocol.errors import LocalProtocolError
from postroom.protocol.lines import LineReader
from postroom.protocol.smtp.events import Flaw

_TERMINATOR = b"\r\n.\r\n"
_DOT_LINE = re.compile(rb"\r\n\.")  # a regex, because it finds a literal faster than bytes.find does
_BARE_CR = re.compile(rb"\r(?!\n)")
_LEAST_OVERRUN = 1024 * 1024  # octets consumed beyond the limit before the peer is taken to be malicious


def end_of_patience(max_size: int) -> int:
    """The size from which content over the limit ``max_size`` is not even consumed."""
    return max_size + max(max_size, _LEAST_OVERRUN)


class ContentCheck:
    """What every piece of incoming content passes: size, newlines, length of lines.

    Sizes are in octets, ``max_line`` without CRLF. The outcome does not depend on how the content was cut into pieces.
    ``binary`` content (RFC 3030 §3) has no lines: of it only the size counts.
    """

    __slots__ = (
        "_bare_cr",
        "_bare_lf",
        "_binary",
        "_line",
        "_long_line",
        "_max_line",
        "_max_size",
        "_normalise",
        "refusal",
        "size",
    )

    def __init__(self, max_size: int, max_line: int, *, normalise: bool, binary: bool = False) -> None:
        self._max_size = max_size
        self._binary = binary
        self._max_line = max_line
        self._normalise = normalise
        self._line = 0  # octets of the line that the last piece left open
        self._bare_cr = self._bare_lf = self._long_line = False
        self.size = 0
        """Octets so far, those that were dropped included."""
        self.refusal: Reply | None = None
        """The shell's own reason not to take the content."""

    @property
    def flaw(self) -> Flaw | None:
        """The flaw that weighs most of those seen so far."""
        if self.size > self._max_size:
            return Flaw.TOO_BIG
        if self._bare_lf:
            return Flaw.BARE_LF
        if self._bare_cr:
            return Flaw.BARE_CR
        return Flaw.LONG_LINE if self._long_line else None

    @property
    def is_good(self) -> bool:
        """Nothing speaks against the content so far."""
        return self.refusal is None and self.flaw is None

    @property
    def is_overrun(self) -> bool:
        """The peer goes on so far beyond the limit that it is not worth reading to the end."""
        return self.size > end_of_patience(self._max_size)

    def check(self, piece: bytes) -> bytes:
        """The piece as it is passed on. It must not end in the middle of a CRLF, unless the content ends there."""
        if self._binary:
            self.size += len(piece)
            return piece
        if not is_strict(piece):
            if self._normalise:
                piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
            else:
                lines = piece.count(b"\r\n")
                self._bare_lf |= piece.count(b"\n") > lines
                self._bare_cr |= piece.count(b"\r") > lines
        self.size += len(piece)
        self._measure(piece)
        return piece

    def _measure(self, piece: bytes) -> None:
        """Find lines over the limit by hopping from line end to line end, as few as the limit allows."""
        limit, size, start = self._max_line, len(piece), -self._line
        if self._long_line:
            return
        while size - start > limit:
            feed = piece.rfind(b"\n", max(start, 0), start + limit + 2)
            if feed < 0:
                self._long_line = True
                return
            start = feed + 1
        feed = piece.rfind(b"\n", max(start, 0))
        self._line = size - (feed + 1 if feed >= 0 else start)


class DataReader:
    """Incoming content of DATA: unstuffs it, and knows its end (RFC 5321 §4.5.2)."""

    __slots__ = ("_ended", "_held", "_skip", "check")

    def __init__(self, check: ContentCheck) -> None:
        self.check = check
        self._held = b"\r\n"  # the end of the DATA line: a dot may follow at once
        self._skip = 2  # which is no part of the content
        self._ended = False

    def next_piece(self, lines: LineReader) -> bytes | None:
        """The next piece of good content, ``b""`` at the end or when patience ends, None if more is needed."""
        while not self._ended and not self.check.is_overrun:
            data = lines.take_all()
            if not data:
                return None
            piece = self._read(data, lines)
            if piece and self.check.is_good:
                return piece
        return b""

    def _read(self, data: bytes, lines: LineReader) -> bytes:
        """The content in ``data``; a little may be held back, what lies behind the end goes back."""
        if self._held:
            data = self._held + data
        dot = _DOT_LINE.search(data)
        begin = len(data) if dot is None else dot.start()
        end = data.find(_TERMINATOR, begin)
        if end >= 0:
            self._ended = True
            lines.feed(data[end + 5 :])
            end += 2  # the CRLF before the dot belongs to the content
        else:
            end = len(data) - _held_back(data)
            self._held = data[end:]
        piece = data[:end]
        if begin < end - 2:  # there is a dot to unstuff, before the virtual CRLF goes
            piece = piece.replace(b"\r\n.", b"\r\n")
        skip = min(self._skip, end)
        self._skip -= skip
        return self.check.check(piece[skip:] if skip else piece)


class ChunkReader:
    """Incoming content of BDAT: octets as they are (RFC 3030 §2), CRLF pairs kept whole across chunks."""

    __slots__ = ("_held", "_left", "check", "last", "size")

    def __init__(self, check: ContentCheck) -> None:
        self.check = check
        self._held = b""
        self._left = 0
        self.size = 0
        """Octets of the present chunk."""
        self.last = False
        """The present chunk is the last."""

    def open(self, size: int, *, last: bool) -> None:
        """The next chunk begins."""
        self.size = self._left = size
        self.last = last

    def next_piece(self, lines: LineReader) -> bytes | None:
        """The next piece of good content, ``b""`` at the end of the chunk, None if more is needed."""
        while self._left or (self.last and self._held):
            data = self._held + lines.take(self._left)
            if self._left:
                if len(data) == len(self._held):
                    return None
                self._left -= len(data) - len(self._held)
            self._held = b""
            if data.endswith(b"\r") and (self._left or not self.last):
                self._held, data = b"\r", data[:-1]
            piece = self.check.check(data)
            if piece and self.check.is_good:
                return piece
        return b""


class ContentWriter:
    """Outgoing content: dot-stuffed, and refused if it is not made of CRLF lines, so that nothing can be smuggled."""

    __slots__ = ("_at_line_start", "_held")

    def __init__(self) -> None:
        self._at_line_start = True
        self._held = b""

    def write(self, data: bytes) -> bytes:
        """A piece on the wire; pieces may be cut anywhere. LocalProtocolError on a bare CR or LF."""
        if self._held:
            data, self._held = self._held + data, b""
        if data.endswith(b"\r"):
            data, self._held = data[:-1], b"\r"
        if not data:
            return b""
        if not is_strict(data):
            raise LocalProtocolError("the content has a bare CR or LF")
        stuffed = data if _DOT_LINE.search(data) is None else data.replace(b"\r\n.", b"\r\n..")
        if self._at_line_start and data.startswith(b"."):
            stuffed = b"." + stuffed
        self._at_line_start = data.endswith(b"\r\n")
        return stuffed

    def end(self) -> bytes:
        """The end on the wire: CRLF where the content lacks it, and the final dot."""
        if self._held:
            raise LocalProtocolError("the content ends with a bare CR")
        return b".\r\n" if self._at_line_start else _TERMINATOR


def is_strict(data: bytes) -> bool:
    """Whether every CR and LF is half of a CRLF (RFC 5321 §2.3.8). What ends in the middle of a CRLF is not.

    If no CR is bare and there are as many LF as CR, no LF is bare either. Counting CRLF itself takes twice as long.
    """
    return _BARE_CR.search(data) is None and data.count(b"\r") == data.count(b"\n")


def _held_back(data: bytes) -> int:
    """How many octets at the end of ``data`` may belong to the terminator, a stuffed dot or a CRLF pair."""
    if data[-1:] not in (b"\r", b"\n", b"."):
        return 0
    for size in (4, 3, 2, 1):
        if data.endswith(_TERMINATOR[:size]):
            return size
    return 0
