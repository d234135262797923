"""Writes octets as quoted-printable or base64, piece by piece (RFC 2045 §6.7, §6.8)."""

import binascii
import re
from typing import Protocol

_LINE = 57  # octets that make a line of 76 characters of base64
_MOST_HELD = 64 * 1024  # octets of a line that is kept until its end is seen

# b2a_qp counts the white space at the end of a line before it encodes it: such a line may be two characters too long.
_TOO_LONG = re.compile(rb"^([^\r\n]{74,75})(=20|=09)(?=\r\n)", re.MULTILINE)


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

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def write(self, data: bytes) -> bytes:
        """Whole lines; a line that goes on for very long is broken softly."""
        data = self._held + data if self._held else data
        feed = data.rfind(b"\n") + 1
        self._held = data[feed:]
        written = _printable(data[:feed])
        if len(self._held) > _MOST_HELD:
            # A CR at the end may be half of a CRLF.
            cut = len(self._held) - self._held.endswith(b"\r")
            written += _printable(self._held[:cut]) + b"=\r\n"
            self._held = self._held[cut:]
        return written

    def end(self, *, closes: bool) -> bytes:
        """The last line. At the end of the content a soft line break stands for the line end that is not there."""
        if closes and self._held:
            return _printable(self._held) + b"=\r\n"
        return _printable(self._held)


def _lines(data: bytes) -> bytes:
    if not data:
        return b""
    text = binascii.b2a_base64(data, newline=False)
    return b"\r\n".join([text[at : at + 76] for at in range(0, len(text), 76)]) + b"\r\n"


def _printable(data: bytes) -> bytes:
    written = binascii.b2a_qp(data, quotetabs=False, istext=True, header=False)
    # Soft line breaks follow the first line end that the data has, and are a lone LF if it has none.
    if b"\n" not in data:
        return written.replace(b"\n", b"\r\n")
    return _TOO_LONG.sub(rb"\1=\r\n\2", written)
