"""Counts what the octets of one body need: eight bits, odd octets, long lines. Cut anywhere, the sum is the same."""

import re

MAX_LINE = 998
"""Octets of a line without its CRLF (RFC 5321 §4.5.3.1.6)."""

_BARE_CR = re.compile(rb"\r(?!\n)")


class Tally:
    """What has been seen so far. ``end`` closes it."""

    __slots__ = ("_cr", "_line", "eight_bit", "long_line", "odd", "size")

    def __init__(self) -> None:
        self.eight_bit = False
        """There are octets above 127."""
        self.odd = False
        """There is a NUL, or a CR or LF that is not half of a CRLF: no text that SMTP lines can carry."""
        self.long_line = False
        """There is a line above MAX_LINE."""
        self.size = 0
        """Octets."""
        self._line = 0  # octets of the line that is open
        self._cr = False  # the last octet was CR

    def add(self, data: bytes) -> None:
        """The next octets."""
        if not data:
            return
        self.size += len(data)
        self.eight_bit = self.eight_bit or not data.isascii()
        if not self.odd:
            self._look_for_odd(data)
        if not self.long_line:
            self._measure(data)

    def end(self) -> None:
        """There is no more."""
        self.odd = self.odd or self._cr
        self.long_line = self.long_line or self._line > MAX_LINE

    @property
    def fits_eight_bit(self) -> bool:
        """The octets can go as ``8bit`` (RFC 2045 §2.8)."""
        return not (self.odd or self.long_line)

    @property
    def fits_seven_bit(self) -> bool:
        """The octets can go as ``7bit`` (RFC 2045 §2.7)."""
        return self.fits_eight_bit and not self.eight_bit

    def _look_for_odd(self, data: bytes) -> None:
        if self._cr:
            data = b"\r" + data
        self._cr = data.endswith(b"\r")
        if self._cr:
            data = data[:-1]
        self.odd = b"\0" in data or _BARE_CR.search(data) is not None or data.count(b"\r") != data.count(b"\n")

    def _measure(self, data: bytes) -> None:
        """Find lines over the limit by hopping from line end to line end, as few as the limit allows."""
        size, start = len(data), -self._line
        while size - start > MAX_LINE + 2:
            feed = data.rfind(b"\n", max(start, 0), start + MAX_LINE + 2)
            if feed < 0:
                self.long_line = True
                return
            start = feed + 1
        feed = data.rfind(b"\n", max(start, 0))
        self._line = size - (feed + 1 if feed >= 0 else start)
