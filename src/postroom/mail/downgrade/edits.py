"""What a conversion changes: places in the content and what stands there afterwards."""

from enum import Enum

from postroom.mail.value import value


class Unconvertible(ValueError):
    """The message cannot be converted without loss or guesswork; the text says why."""


class HeaderNotAscii(Unconvertible):
    """A header, of the message or of a part, is not in ASCII."""


class Coding(Enum):
    """A content transfer encoding that fits into seven bits (RFC 2045 §6)."""

    QUOTED_PRINTABLE = "quoted-printable"
    BASE64 = "base64"


@value(frozen=True, slots=True)
class Edit:
    """``content[start:end]`` becomes ``text``, or is encoded where there is a ``coding``.

    ``closes``: the octets are the last of the content, which must end in a line end on the wire.
    """

    start: int
    end: int
    text: bytes = b""
    coding: Coding | None = None
    closes: bool = False
