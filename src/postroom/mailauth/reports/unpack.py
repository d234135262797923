"""Finds the report in a message and reads it, whatever its form, labels and transfer encoding (RFC 7489 §7.2.1.1).

The message is looked at in bounds: octets, depth, parts. What the attachments are is told by how they begin, for their
labels are often wrong; parts that cannot hold a report are passed over.
"""

import binascii
import re
from collections.abc import Callable, Iterator

from postroom.mail.bounces.parts import Part, read_parts
from postroom.mail.headers import split_header
from postroom.mail.value import value
from postroom.mailauth.reports.aggregate import read_aggregate
from postroom.mailauth.reports.expanding import PIECE, Pieces, files_in, is_compressed
from postroom.mailauth.reports.failure import read_feedback_report, reporter_of
from postroom.mailauth.reports.model import Report, Unreadable
from postroom.mailauth.reports.tls import read_tls

MOST_CONTENT = 16 << 20
"""Octets of a message that are read; what has more is no report. RFC 7489 §6.2 has reporters told a limit of 10 MB."""

MAX_DEPTH = 5
MAX_PARTS = 40
MAX_HEADER = 1 << 16

_PARAMETER = re.compile(r';\s*([\w*-]{1,40})\s*=\s*(?:"((?:[^"\\]|\\.){0,300})"|([^\s;"]{1,300}))')
_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_SUBTYPES = re.compile(r"gzip|zip|xml|json|tlsrpt|octet-stream|compress|binary|tar|download")
_ENDINGS = (".xml", ".gz", ".gzip", ".zip", ".json")
_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"

Breathe = Callable[[], None]
"""Called every few milliseconds of reading: it may wait, or raise to end it."""


@value(frozen=True, slots=True)
class _Attachment:
    """One part that may hold a report: its octets still encoded."""

    encoding: str
    body: bytes
    filename: str


def read_message(content: bytes, breathe: Breathe = lambda: None) -> tuple[Report, ...]:
    """The reports in a message: mostly one, of a zip archive as many as it has files.

    Raises Unreadable, which says why, if there is none or one of them cannot be read.
    """
    if len(content) > MOST_CONTENT:
        raise Unreadable(f"it is larger than {MOST_CONTENT >> 20} MiB")
    told: Unreadable | None = None
    for attachment in _attachments(content):
        try:
            found = read_file(_decoded(attachment), breathe)
        except Unreadable as error:
            told = told or error  # a picture that is labelled octet-stream, say: the report may stand behind it
            continue
        if found:
            return found
    feedback = read_feedback_report(read_parts(content))
    if feedback is not None:
        return (feedback,)
    raise told or Unreadable("there is no report in it")


def read_file(data: bytes, breathe: Breathe = lambda: None) -> tuple[Report, ...]:
    """The reports in a file: XML, JSON, gzip or zip of them; what else is in an archive is passed over.

    Raises Unreadable if there is none.
    """
    if not data:
        raise Unreadable("it is empty")
    found: list[Report] = []
    told: Unreadable | None = None
    for pieces in files_in(data):
        try:
            found.append(_read(pieces, breathe))
        except Unreadable as error:
            told = told or error
    if not found:
        raise told or Unreadable("the archive is empty")
    return tuple(found)


def sender_of(content: bytes) -> str:
    """The domain that the message is From, as it says."""
    return reporter_of(Part("", split_header(content[:MAX_HEADER]), b""))


def _read(pieces: Pieces, breathe: Breathe) -> Report:
    first = b""
    for piece in pieces:
        first = (first + piece)[: 4 * PIECE] if first else piece
        if first.lstrip(_SPACE):
            break
    if is_compressed(first):
        raise Unreadable("it is an archive in an archive")
    start = first.removeprefix(_BOM).lstrip(_SPACE)
    if start.startswith((b"{", b"[")):
        return read_tls(_joined(start, pieces))
    # White space before the XML declaration is an error of its own, and one that reporters make
    wide = first.startswith((b"\xff\xfe", b"\xfe\xff"))
    if not wide and not start.startswith(b"<"):
        raise Unreadable("it is neither XML nor JSON")
    return read_aggregate(_joined(first if wide else start, pieces), breathe)


def _joined(first: bytes, pieces: Pieces) -> Iterator[bytes]:
    yield first
    yield from pieces


def _decoded(attachment: _Attachment) -> bytes:
    body, encoding = attachment.body, attachment.encoding
    if encoding == "base64":
        text = _BASE64.sub(b"", body)
        return binascii.a2b_base64(text[: len(text) - len(text) % 4] + _tail(text))
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body)
    return body


def _tail(text: bytes) -> bytes:
    """The last group of base64 with the padding that it needs; a single letter is nothing."""
    rest = text[len(text) - len(text) % 4 :]
    return rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b""


def _attachments(content: bytes) -> Iterator[_Attachment]:
    """The parts that may hold a report, in order."""
    left = [MAX_PARTS]
    yield from _walk(content, 0, len(content), MAX_DEPTH, left)


def _walk(content: bytes, start: int, end: int, depth: int, left: list[int]) -> Iterator[_Attachment]:
    left[0] -= 1
    if left[0] < 0:
        return
    header = split_header(_with_crlf(content[start : min(start + MAX_HEADER, end)]))
    body = _body_start(content, start, end)
    written = header.first(b"content-type")
    text = written.text[:2000] if written is not None else ""
    kind = text.partition(";")[0].strip().lower() or "text/plain"
    boundary = _parameter(text, "boundary")
    if kind.startswith("multipart/") and boundary:
        if depth:
            for at, until in _pieces(content, body, end, boundary.encode("utf-8", "replace")):
                yield from _walk(content, at, until, depth - 1, left)
        return
    disposition = header.first(b"content-disposition")
    filename = _parameter(disposition.text[:2000], "filename") if disposition is not None else ""
    filename = (filename or _parameter(text, "name")).strip().lower()
    if not _may_be_report(kind, filename):
        return
    encoding = header.first(b"content-transfer-encoding")
    yield _Attachment(encoding.text[:100].strip().lower() if encoding is not None else "", content[body:end], filename)


def _may_be_report(kind: str, filename: str) -> bool:
    if filename.endswith(_ENDINGS):
        return True
    main, _, sub = kind.partition("/")
    return main in ("application", "text") and _SUBTYPES.search(sub) is not None


def _pieces(content: bytes, start: int, end: int, boundary: bytes) -> Iterator[tuple[int, int]]:
    """From where to where the parts go between the delimiters (RFC 2046 §5.1.1); a missing last one is made up for.

    A delimiter is a whole line: one boundary may begin like another.
    """
    delimiter = b"--" + boundary
    opened = -1
    at = start
    for _ in range(MAX_PARTS * 20):  # lines that look like a delimiter
        found = content.find(delimiter, at, end)
        if found < 0:
            break
        line_end = content.find(b"\n", found, end)
        rest = content[found + len(delimiter) : end if line_end < 0 else min(line_end, found + 1000)].rstrip(_SPACE)
        at = found + len(delimiter)
        if (found > start and content[found - 1 : found] != b"\n") or rest not in (b"", b"--"):
            continue
        if opened >= 0:
            yield opened, max(found - 1 - (content[found - 2 : found - 1] == b"\r"), opened)
        if rest == b"--" or line_end < 0:
            return
        opened = at = line_end + 1
    if opened >= 0:
        yield opened, end


def _body_start(content: bytes, start: int, end: int) -> int:
    """Where the body begins: after the first empty line, or at the beginning where there are no fields."""
    if content.startswith((b"\r\n", b"\n"), start):
        return content.index(b"\n", start) + 1
    limit = min(start + MAX_HEADER, end)
    found = [at + len(blank) for blank in (b"\r\n\r\n", b"\n\n") if (at := content.find(blank, start, limit)) >= 0]
    return min(found, default=end)


def _with_crlf(header: bytes) -> bytes:
    """A header from a file may have ends of lines of its own."""
    return header if b"\r\n" in header else header.replace(b"\n", b"\r\n")


def _parameter(text: str, name: str) -> str:
    for match in _PARAMETER.finditer(text):
        if match[1].lower() in (name, f"{name}*", f"{name}*0"):
            return match[2] if match[2] is not None else match[3]
    return ""
