"""Writes octets as quoted-printable or base64, piece by piece (RFC 2045 §6.7, §6.8)."""

import binascii
import re
from typing import Protocol

_LINE = 57  # octets that make a line of 76 characters of base64
_MOST_HELD = 64 * 1024  # octets of a line that is kept until its end is seen

# b2a_qp counts the white space at the end of a line before it encodes it: such a line may be two characters too long.
_TOO_LONG = re.compile(rb"^([^\r\n]{74,75})(=20|=09)(?=\r\n)", re.MULTILINE)

# A soft line break must not make a boundary delimiter of what stood in the midst of a line.
_DASHES = re.compile(rb"(?<==\r\n)--+")
_DASHES_A_LINE = 25


class Encoder(Protocol):
    """Takes octets and gives their encoding, in lines of 76 characters at most."""

    def write(self, data: bytes) -> bytes:
        """The encoding of the next octets, as far as it is certain."""
        ...

    def end(self, *, closes: bool) -> bytes:
        """The rest. ``closes``: what follows is the end of the content, so that a line end must stand there."""
        ...


class Base64:
    """RFC 2045 §6.8."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def write(self, data: bytes) -> bytes:
        """Whole lines; what does not fill one waits."""
        data = self._held + data if self._held else data
        whole = len(data) - len(data) % _LINE
        self._held = data[whole:]
        return _lines(data[:whole])

    def end(self, *, closes: bool) -> bytes:
        """The last line; inside a multipart its line end would do no harm either."""
        return _lines(self._held)


class QuotedPrintable:
    """RFC 2045 §6.7, for text whose line ends are CRLF and that has no other CR or LF."""

    __slots__ = ("_broken", "_held")

    def __init__(self) -> None:
        self._held = b""
        self._broken = False  # the last line ended in a soft line break

    def write(self, data: bytes) -> bytes:
        """Whole lines; a line that goes on for very long is broken softly."""
        data = self._held + data if self._held else data
        feed = data.rfind(b"\n") + 1
        self._held = data[feed:]
        written = self._print(data[:feed])
        if len(self._held) > _MOST_HELD:
            cut = len(self._held) - self._held.endswith(b"\r")  # which may be half of a CRLF
            written += self._print(self._held[:cut]) + b"=\r\n"
            self._held = self._held[cut:]
            self._broken = True
        return written

    def end(self, *, closes: bool) -> bytes:
        """The last line. At the end of the content a soft line break stands for the line end that is not there."""
        if closes and self._held:
            return self._print(self._held) + b"=\r\n"
        return self._print(self._held)

    def _print(self, data: bytes) -> bytes:
        if not data:
            return b""
        written = binascii.b2a_qp(data, quotetabs=False, istext=True, header=False)
        # Soft line breaks follow the first line end that the data has, and are a lone LF if it has none.
        written = _TOO_LONG.sub(rb"\1=\r\n\2", written) if b"\n" in data else written.replace(b"\n", b"\r\n")
        if self._broken:
            self._broken = False
            return _DASHES.sub(_print_dashes, b"=\r\n" + written)[3:]
        return _DASHES.sub(_print_dashes, written)


def _lines(data: bytes) -> bytes:
    if not data:
        return b""
    text = binascii.b2a_base64(data, newline=False)
    return b"\r\n".join([text[at : at + 76] for at in range(0, len(text), 76)]) + b"\r\n"


def _print_dashes(dashes: re.Match[bytes]) -> bytes:
    """The dashes encoded, on lines of their own that end softly."""
    count = len(dashes[0])
    full, rest = divmod(count, _DASHES_A_LINE)
    lines = [b"=2D" * _DASHES_A_LINE + b"=\r\n"] * full
    return b"".join(lines) + (b"=2D" * rest + b"=\r\n" if rest else b"")
