"""Takes a message apart into its MIME parts (RFC 2046), as far as the readers of bounces need it, and within bounds.

Lenient: what is broken is read as far as it goes. The copy of a returned message is a part that is not opened.
"""

import binascii
import codecs
import html
import re

from postroom.mail.headers import Header, split_header
from postroom.mail.value import value

MAX_CONTENT = 1 << 20
"""Octets of a returned mail that are read: reports stand before what they return."""

MAX_HEADER = 1 << 16
MAX_DEPTH = 6
MAX_PARTS = 50
MAX_TEXT = 1 << 16
"""Octets of one part that are decoded as text."""

_PARAMETER = re.compile(r';\s*([\w*-]{1,40})\s*=\s*(?:"((?:[^"\\]|\\.){0,200})"|([^\s;"]{1,200}))')
_CHARSETS = re.compile(r"ascii|utf-8|iso8859|cp\d|koi8|gb|big5|euc|shift_jis|iso2022|hz|mac", re.IGNORECASE)
_INVISIBLE = ("style", "script", "head")
_ENDS_LINE = re.compile(r"<(?:br|/p|/div|/tr|/td|/li|/h\d|/pre|/table|hr)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[/!a-z][^<>@]*>", re.IGNORECASE)


@value(frozen=True, slots=True)
class Part:
    """One part. ``kind`` is its media type in small letters, ``body`` its octets with CRLF, still encoded."""

    kind: str
    header: Header
    body: bytes

    def field(self, name: bytes) -> str:
        """The first field of that name, unfolded; ``""`` if there is none."""
        found = self.header.first(name)
        return "" if found is None else found.text

    @property
    def is_returned(self) -> bool:
        """It is the message that came back, or its header."""
        return self.kind in _RETURNED

    def text(self) -> str:
        """The body as text with LF, decoded and without markup; what does not decode is replaced."""
        encoding = self.field(b"content-transfer-encoding").lower()
        content_type = self.field(b"content-type")
        data = _decoded(self.body[:MAX_TEXT], encoding)
        text = data.decode(_charset(_parameters(content_type).get("charset", "")), "replace").replace("\r\n", "\n")
        return _without_markup(text) if self.kind == "text/html" else text


_RETURNED = frozenset({"message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers"})


def read_parts(content: bytes) -> tuple[Part, ...]:
    """The message itself and all parts in it, from top to bottom; ends of lines are made CRLF."""
    content = content[:MAX_CONTENT].replace(b"\r\n", b"\n").replace(b"\r", b"\n").lstrip(b"\n")
    if content.startswith((b"From ", b">From ")):  # the separator of an mbox
        content = content.partition(b"\n")[2]
    found: list[Part] = []
    _collect(content.replace(b"\n", b"\r\n"), found, MAX_DEPTH)
    return tuple(found)


def _collect(content: bytes, found: list[Part], depth: int) -> None:
    header = split_header(content[:MAX_HEADER])
    body = content[header.body :]
    content_type = header.first(b"content-type")
    written = content_type.text[:2000] if content_type is not None else ""
    kind = written.partition(";")[0].strip().lower() or "text/plain"
    found.append(Part(kind, header, body))
    boundary = _parameters(written).get("boundary", "")
    if not kind.startswith("multipart/") or not boundary or depth == 0:
        return
    for piece in _pieces(body, boundary.encode("utf-8", "replace")):
        if len(found) >= MAX_PARTS:
            return
        _collect(piece, found, depth - 1)


def _pieces(body: bytes, boundary: bytes) -> list[bytes]:
    """What stands between the delimiters (RFC 2046 §5.1.1); a missing last one is made up for.

    A delimiter is a whole line: one boundary may begin like another.
    """
    body = b"\r\n" + body + b"\r\n"
    pieces: list[bytes] = []
    start = -1
    for line in re.finditer(rb"\r\n--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r\n)", body):
        if start >= 0:
            pieces.append(body[start : line.start()])
        if line[1] is not None or len(pieces) >= MAX_PARTS:
            return pieces
        start = line.end() + 2
    if start >= 0:
        pieces.append(body[start:-2])
    return pieces


def _parameters(content_type: str) -> dict[str, str]:
    return {
        match[1].lower(): match[2] if match[2] is not None else match[3] for match in _PARAMETER.finditer(content_type)
    }


def _decoded(body: bytes, encoding: str) -> bytes:
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body)
    if encoding == "base64":
        try:
            return binascii.a2b_base64(body[: len(body) - len(body) % 4] if b"\r" not in body else body)
        except binascii.Error:
            return body
    return body


def _charset(name: str) -> str:
    """The codec for the charset. Only those of plain text: Python also has codecs that are slow, or raise."""
    if not name:
        return "utf-8"
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):  # ValueError: a NUL in it
        return "utf-8"
    return found if _CHARSETS.match(found) else "utf-8"


def _without_markup(text: str) -> str:
    for element in _INVISIBLE:
        text = _without_element(text, element)
    text = _ENDS_LINE.sub("\n", text.replace("\n", " "))
    return html.unescape(_TAG.sub("", text))


def _without_element(text: str, element: str) -> str:
    """The text without what stands between the element's tags; each is looked for once."""
    lowered = text.lower()
    if len(lowered) != len(text):  # some letters have longer small forms: the places would not be the same
        return text
    kept: list[str] = []
    at = 0
    while True:
        start = lowered.find(f"<{element}", at)
        end = lowered.find(f"</{element}", start) if start >= 0 else -1
        if end < 0:
            return "".join((*kept, text[at:]))
        kept.append(text[at:start])
        at = end
