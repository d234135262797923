"""A message with internationalised header fields, for a client that has not asked for UTF-8 (RFC 6856 §2.1, RFC 6858).

What such a client cannot be shown is encoded where RFC 2047 knows how, replaced where it is an address, and left out
else: the client sees less than there is, never something else. Bodies go as they are: 8BITMIME content always has.
Pieces come in any size; one header field at most is kept between them.
"""

import re
from binascii import b2a_base64
from collections.abc import Iterator

MAX_FIELD = 64 * 1024
"""Octets of a field that is kept whole; in a longer one each octet that is not ASCII becomes a question mark."""

_MAX_BOUNDARIES = 100
_MAX_LINE = 200  # octets of a line that may be a delimiter: the boundary has 70 at most (RFC 2046 §5.1.1)

_ADDRESSES = frozenset(  # RFC 6858 §2.1
    [
        b"bcc",
        b"cc",
        b"from",
        b"reply-to",
        b"resent-bcc",
        b"resent-cc",
        b"resent-from",
        b"resent-sender",
        b"resent-to",
        b"return-path",
        b"sender",
        b"to",
    ]
)
_PARAMETERS = frozenset([b"content-type", b"content-disposition"])
_NOBODY = "<invalid@internationalized-address.invalid>"  # RFC 2606 §2: it is nobody's

_QUESTION_MARKS = bytes([octet if octet < 128 else 63 for octet in range(256)])
_BOUNDARY = re.compile(rb";\s*boundary\s*=\s*(?:\"([^\"]{1,70})\"|([^\s;\"]{1,70}))", re.IGNORECASE)
_MESSAGE = re.compile(rb"[^:]*:\s*message/(?:rfc822|global)\s*(?:;|\r?\n)", re.IGNORECASE)
_PIECES = re.compile(r'((?:"(?:[^"\\]|\\.)*"?|\((?:[^()\\]|\\.)*\)?|<[^<>]*>?|[^,;:"(<])*)([,;:]?)', re.DOTALL)
_PARTS = re.compile(r'((?:"(?:[^"\\]|\\.)*"?|[^;"])*);?', re.DOTALL)
_QUOTING = re.compile(r'\\(.)|"', re.DOTALL)
_WORD = 42  # octets in an encoded word: 75 characters at most (RFC 2047 §2)


class Surrogate:
    """Takes the message and gives what the client is sent."""

    __slots__ = (
        "_body_is_message",
        "_boundaries",
        "_delimiter",
        "_field",
        "_in_header",
        "_in_midst",
        "_is_long",
        "_is_open",
        "_line",
    )

    def __init__(self) -> None:
        self._in_header = True
        self._field = b""  # the field at hand, whole lines
        self._is_long = False  # it was longer than is kept, and its beginning has gone out
        self._is_open = False  # a line that was too long to be kept goes on
        self._line = b""  # a line that is not complete
        self._body_is_message = False  # the body after this header begins with a header itself
        self._boundaries: tuple[bytes, ...] = ()
        self._delimiter: re.Pattern[bytes] | None = None  # a line that opens a part of any of them
        self._in_midst = False  # of a line of the body

    def add(self, data: bytes) -> bytes:
        """What goes out for the next piece."""
        if self._line:
            data, self._line = self._line + data, b""
        if not self._in_header and self._delimiter is None:
            return data
        return b"".join(self._lines(data))

    def end(self) -> bytes:
        """The message is complete: what was kept of it."""
        line, self._line = self._line, b""
        if not self._in_header:
            return line
        return (self._read_header(line) if line else b"") + self._take_field()

    def _lines(self, data: bytes) -> Iterator[bytes]:
        at = 0
        while at < len(data):
            if not self._in_header:
                at, passed = self._pass_body(data, at)
                yield passed
                continue
            end = data.find(b"\n", at) + 1
            if self._is_open:
                yield data[at : end or len(data)].translate(_QUESTION_MARKS)
                self._is_open = not end
            elif end:
                yield self._read_header(data[at:end])
            else:
                yield self._keep(data[at:])
            at = end or len(data)

    def _keep(self, start: bytes) -> bytes:
        """The start of a header line whose end has not come."""
        if len(start) <= MAX_FIELD:
            self._line = start
            return b""
        self._is_open = True
        return self._read_header(start)

    # The header.

    def _read_header(self, line: bytes) -> bytes:
        """A whole line, in which the field at hand may end."""
        if line in {b"\r\n", b"\n"}:
            field = self._take_field()
            self._in_header, self._body_is_message = self._body_is_message, False
            return field + line
        continued = line[:1] in b" \t"
        before = b"" if continued else self._take_field()
        if self._is_long and continued:
            return line.translate(_QUESTION_MARKS)
        self._field += line
        if len(self._field) > MAX_FIELD:
            self._is_long = True
            line, self._field = self._field, b""
            return before + line.translate(_QUESTION_MARKS)
        return before

    def _take_field(self) -> bytes:
        """The field at hand is complete: as it is, in another form, or not at all."""
        field, self._field = self._field, b""
        self._is_long = False
        if not field:
            return b""
        if field[:13].lower() == b"content-type:":
            self._learn(field)
        return field if field.isascii() else conventional(field)

    def _learn(self, field: bytes) -> None:
        """What the body will be."""
        self._body_is_message = _MESSAGE.match(field) is not None
        boundary = _BOUNDARY.search(field)
        if boundary is not None and len(self._boundaries) < _MAX_BOUNDARIES:
            self._boundaries += (re.escape(boundary[1] or boundary[2]),)
            self._delimiter = re.compile(rb"^--(?:%s)[ \t]{0,90}\r?\n" % b"|".join(self._boundaries), re.MULTILINE)

    # The body of a multipart.

    def _pass_body(self, data: bytes, at: int) -> tuple[int, bytes]:
        """As much of the body as is certain to be it, and where that ends; a delimiter opens a header again."""
        lines = at if at or not self._in_midst else data.find(b"\n") + 1  # where the first whole line begins
        found = None
        if self._delimiter is not None and (lines or not self._in_midst):
            found = self._delimiter.search(data, lines)
        if found is not None:
            self._in_header, self._in_midst = True, False
            return found.end(), data[at : found.end()]
        last = max(data.rfind(b"\n") + 1, at)
        if data.startswith(b"-", last) and len(data) - last < _MAX_LINE and (last or not self._in_midst):
            self._line, self._in_midst = data[last:], False
            return len(data), data[at:last]
        self._in_midst = last < len(data)
        return len(data), data[at:]


def conventional(field: bytes) -> bytes:
    """A field in ASCII that says what the field says, as far as that is possible; else nothing (RFC 6858 §2)."""
    name, colon, body = field.partition(b":")
    key = name.strip().lower()
    if not colon or not name.isascii():
        return b""
    text = " ".join(body.decode("utf-8", "replace").split())
    if key == b"subject":
        return b"%s: %s\r\n" % (name, _encoded(text).encode())
    if key in _ADDRESSES:
        return b"%s:%s\r\n" % (name, "".join(_conventional_addresses(text)).encode())
    if key in _PARAMETERS:
        kept = [part.strip() for part in _PARTS.findall(text) if part.isascii() and part.strip()]
        first = _PARTS.match(text)
        if first is not None and first[1].strip() and first[1].isascii():
            return b"%s: %s\r\n" % (name, ";\r\n\t".join(kept).encode())
    return b""


def _conventional_addresses(text: str) -> Iterator[str]:
    """The pieces of an address list, those that are not ASCII in another form (RFC 6858 §2.1)."""
    for match in _PIECES.finditer(text):
        piece, end = match[1].strip(), match[2]
        if not piece:
            yield end
        elif piece.isascii():
            yield f"\r\n {piece}{end}"
        elif end == ":":  # the name of a group
            yield f"\r\n {_encoded(_unquoted(piece))}{end}"
        else:
            yield f"\r\n {_conventional_mailbox(piece)}{end}"


def _conventional_mailbox(piece: str) -> str:
    name, bracket, address = piece.rpartition("<")
    if bracket and address.isascii():
        return f"{_encoded(_unquoted(name))}\r\n <{address}"
    return f"{_encoded(_unquoted(piece))}\r\n {_NOBODY}"


def _unquoted(phrase: str) -> str:
    """What a phrase says, without its quotes."""
    return _QUOTING.sub(lambda match: match[1] or "", phrase).strip() if '"' in phrase else phrase.strip()


def _encoded(text: str) -> str:
    """The text as encoded words, one on each line (RFC 2047 §2, §4.1)."""
    chunks: list[bytes] = [b""]
    for character in text:
        octets = character.encode("utf-8", "replace")
        if len(chunks[-1]) + len(octets) > _WORD:  # a character is never cut in two (RFC 2047 §5)
            chunks.append(b"")
        chunks[-1] += octets
    return "\r\n ".join([f"=?utf-8?B?{b2a_base64(chunk, newline=False).decode('ascii')}?=" for chunk in chunks])
