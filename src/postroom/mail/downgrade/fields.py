"""The MIME fields of one header: media type, boundary, transfer encoding (RFC 2045 §5, §6, RFC 2046 §5.1.1).

Whatever two readers might understand in two ways is refused: a conversion acts on what it believes to be the structure.
"""

import re
from collections.abc import Sequence

from postroom.mail.downgrade.edits import HeaderNotAscii, Unconvertible
from postroom.mail.headers import Field, split_header
from postroom.mail.value import value

MAX_BOUNDARY = 100
"""Octets of a boundary. RFC 2046 §5.1.1 allows 70; somewhat longer ones are seen."""

IDENTITIES = frozenset({"", "7bit", "8bit", "binary"})
"""Transfer encodings that stand for no encoding at all; ``""`` where the field is missing (RFC 2045 §6.1)."""

_WORD = r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+"  # RFC 2045 §5.1, in ASCII
_TYPE = re.compile(rf"\s*({_WORD})\s*/\s*({_WORD})\s*")
_PARAMETER = re.compile(rf";\s*({_WORD})\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"]+))\s*", re.DOTALL)
_NOTHING = re.compile(r"[;\s]*")  # stray semicolons at the end are common
_OUTSIDE = re.compile(r"\"(?:[^\"\\]|\\.)*\"|[^\"()]+|.", re.DOTALL)
_INSIDE = re.compile(r"[^()\\]+|\\.|.", re.DOTALL)
_PAIR = re.compile(r"\\(.)", re.DOTALL)


@value(frozen=True, slots=True)
class MimeFields:
    """What one header says about the body below it.

    ``type`` and ``encoding`` are in lower case, ``""`` where the field is missing; ``boundary`` is None where there is
    none. ``encoding_at`` is where the Content-Transfer-Encoding field stands in the header, None if it is missing.
    """

    type: str
    boundary: bytes | None
    encoding: str
    encoding_at: tuple[int, int] | None
    has_version: bool


def read_mime_fields(header: bytes, *, ascii_only: bool = True) -> MimeFields:
    """The MIME fields of a header, which is whole lines without the empty one behind it.

    Raises HeaderNotAscii, or Unconvertible for a line that is no field and for fields that are ambiguous.
    """
    if ascii_only and not header.isascii():
        raise HeaderNotAscii("a header field is not in ASCII")
    lines = header.count(b"\r\n")
    if header.count(b"\r") != lines or header.count(b"\n") != lines or b"\0" in header:
        raise Unconvertible("a header has a bare CR or LF, or a NUL")
    found = split_header(header + b"\r\n")
    if found.end != len(header) or header[:1] in (b" ", b"\t"):
        raise Unconvertible("a header has a line that is no field")
    kind = _only(found.all(b"content-type"), "Content-Type")
    encoding = _only(found.all(b"content-transfer-encoding"), "Content-Transfer-Encoding")
    media_type, boundary = ("", None) if kind is None else _read_type(kind.text)
    return MimeFields(
        media_type,
        boundary,
        "" if encoding is None else _read_encoding(encoding.text),
        None if encoding is None else (encoding.start, encoding.end),
        found.first(b"mime-version") is not None,
    )


def _only(fields: Sequence[Field], name: str) -> Field | None:
    if len(fields) > 1:
        raise Unconvertible(f"a header has more than one {name}")
    return fields[0] if fields else None


def _read_type(text: str) -> tuple[str, bytes | None]:
    text = _without_comments(text)
    kind = _TYPE.match(text)
    if kind is None:
        raise Unconvertible("a Content-Type is malformed")
    media_type = f"{kind[1]}/{kind[2]}".lower()
    if kind[1].lower() != "multipart":  # whose parameters alone matter
        return media_type, None
    boundary: str | None = None
    at = kind.end()
    while (parameter := _PARAMETER.match(text, at)) is not None:
        at = parameter.end()
        name = parameter[1].lower()
        if name.startswith("boundary*") or (name == "boundary" and boundary is not None):
            raise Unconvertible("a boundary is ambiguous")
        if name == "boundary":
            boundary = parameter[3] if parameter[2] is None else _PAIR.sub(r"\1", parameter[2])
    if _NOTHING.fullmatch(text, at) is None:
        raise Unconvertible("a Content-Type is malformed")
    return media_type, _check_boundary(boundary)


def _check_boundary(boundary: str | None) -> bytes:
    if not boundary:
        raise Unconvertible("a multipart has no boundary")
    if len(boundary) > MAX_BOUNDARY or not (boundary.isascii() and boundary.isprintable()) or boundary.endswith(" "):
        raise Unconvertible("a boundary is malformed")
    return boundary.encode("ascii")


def _read_encoding(text: str) -> str:
    return _without_comments(text).strip(" \t\r\n;").lower()


def _without_comments(text: str) -> str:
    """The text without its comments (RFC 5322 §3.2.2); those inside quotes are none."""
    if "(" not in text:
        return text
    kept: list[str] = []
    depth = at = 0
    while (found := (_INSIDE if depth else _OUTSIDE).match(text, at)) is not None:
        at = found.end()
        piece = found[0]
        if piece == "(":
            depth += 1
        elif not depth:
            kept.append(piece)
        elif piece == ")":
            depth -= 1
            kept.append(" ")
    return "".join(kept)
