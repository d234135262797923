"""Reads the MIME structure of a message as it goes by, and says what a conversion has to change (RFC 2046 §5.1, §5.2).

Structure that two readers might see differently is refused, as is what a conversion would break: signed parts
(RFC 1847 §2.1), headers that are not ASCII, octets outside all parts. The parser holds one header at most.
"""

import re
from enum import Enum

from postroom.mail.downgrade.edits import Coding, Edit, Unconvertible
from postroom.mail.downgrade.fields import IDENTITIES, MAX_BOUNDARY, MimeFields, read_mime_fields
from postroom.mail.downgrade.tally import Tally
from postroom.mail.envelope import Body
from postroom.mail.value import value

MAX_HEADER = 256 * 1024
"""Octets of one header, the message's own or a part's."""

MAX_DEPTH = 20
"""Multiparts and messages inside each other."""

MAX_PARTS = 10_000
"""Parts in all."""

MAX_MULTIPARTS = 500
"""Multiparts among them: each costs up to a millisecond."""

_DELIMITER_LINE = 2 * MAX_BOUNDARY + 100  # octets: more than any delimiter with its padding
_VERSION = b"MIME-Version: 1.0\r\n"
_UNLABELLED = _VERSION + b"Content-Type: text/plain; charset=unknown-8bit\r\n"  # RFC 1428 §3
_RANK = {"": 0, "7bit": 0, "8bit": 1, "binary": 2}


class _Region(Enum):
    """What the octets at hand belong to."""

    HEADER = "header"
    LEAF = "leaf"
    BETWEEN = "between"
    """The preamble or the epilogue of a multipart."""


@value(frozen=True, slots=True)
class _Part:
    """A part whose body is being read. ``header_end`` is where a field can be added, ``body`` where the body begins."""

    fields: MimeFields
    header: int
    header_end: int
    body: int
    frozen: bool
    is_message: bool


@value(frozen=True, slots=True)
class _Open:
    """A multipart that is open. ``depth`` counts it and what is around it."""

    boundary: bytes
    frozen: bool
    is_digest: bool
    depth: int


class Survey:
    """Takes a content, cut anywhere; ``end`` gives the edits that make it fit for a host that takes ``target``.

    ``target`` is SEVEN_BIT or EIGHT_BIT; with ``ascii_header`` headers must be in ASCII. No edits: it fits as it is.
    Raises Unconvertible as soon as that is certain.
    """

    def __init__(self, target: Body, *, ascii_header: bool = True) -> None:
        self._rank = 1 if target is Body.EIGHT_BIT else 0
        self._ascii_header = ascii_header
        self._data = b""
        self._base = 0  # where _data begins in the content
        self._at = 0  # how far _data has been read
        self._region = _Region.HEADER
        self._open: list[_Open] = []
        self._delimiter: re.Pattern[bytes] | None = None
        self._depth = 1
        self._frozen = False
        self._is_message = True  # the header at hand is a message's, not a part's
        self._default = ""  # the type of a part that names none
        self._part: _Part | None = None
        self._tally = Tally()
        self._parts = self._multiparts = 0
        self._edits: list[Edit] = []
        self._labels: list[Edit] = []  # that are worth it only if something else changes too

    def feed(self, data: bytes) -> None:
        """The next octets."""
        self._data += data
        while self._step(last=False):
            pass
        keep = max(self._at - 2, 0)  # the CRLF that may begin a delimiter
        self._base += keep
        self._data = self._data[keep:]
        self._at -= keep

    def end(self) -> tuple[Edit, ...]:
        """There is no more: what has to change, in order."""
        while self._step(last=True):
            pass
        if self._open:
            raise Unconvertible("a multipart is not closed")
        self._end_region(len(self._data), closes=True)
        if not self._edits:
            return ()
        edits = sorted([*self._edits, *self._labels], key=lambda edit: (edit.start, edit.end))
        if edits[-1].end > self._base + len(self._data):
            raise Unconvertible("the content ends within a header")
        return tuple(edits)

    # One step: a header, or what lies between two delimiters.

    def _step(self, *, last: bool) -> bool:
        """Read on as far as possible. False if more is needed, or if there is no more."""
        if self._region is _Region.HEADER:
            return self._read_header(last=last)
        start, end = self._find_delimiter(self._at, last=last)
        if start < 0:
            if not last:
                self._pass_by(end)
            return False
        self._end_region(start, closes=False)
        self._read_delimiter(start + 2, end)
        return True

    def _find_delimiter(self, at: int, *, last: bool) -> tuple[int, int]:
        """The CRLF before the next delimiter line and the end of that line; else -1 and how far there is none."""
        data = self._data
        if self._delimiter is None:
            return -1, len(data)
        found = self._delimiter.search(data, max(at - 2, 0))
        if found is None:
            return -1, max(at, len(data) - MAX_BOUNDARY - 4)
        start = found.start()
        if not data.startswith(b"\r\n", start):
            raise Unconvertible("a boundary follows a bare CR or LF")
        end = data.find(b"\n", found.end(), start + _DELIMITER_LINE)
        if end >= 0:
            return start, end + 1
        if len(data) >= start + _DELIMITER_LINE:
            raise Unconvertible("a line looks like a boundary and is none")
        return (start, len(data)) if last else (-1, max(at, start))

    def _pass_by(self, until: int) -> None:
        if until > self._at:
            self._tally.add(self._data[self._at : until])
            self._at = until

    # Headers.

    def _read_header(self, *, last: bool) -> bool:
        data, at = self._data, self._at
        blank = at if data.startswith(b"\r\n", at) else data.find(b"\r\n\r\n", at)
        if blank > at:
            blank += 2
        start, end = self._find_delimiter(at, last=last)
        if start >= 0 and (blank < 0 or start + 2 <= blank):  # the part ends within its header
            header_end = max(at, start + 2)
            self._begin_body(header_end, header_end)
            self._end_region(start, closes=False)
            self._read_delimiter(start + 2, end)
        elif blank >= 0:
            self._begin_body(blank, blank + 2)
        elif last:
            self._begin_body(len(data), len(data))
        else:
            if len(data) - at > MAX_HEADER:
                raise Unconvertible("a header is too long")
            return False
        return True

    def _begin_body(self, header_end: int, body: int) -> None:
        """The header is complete: what kind of body follows?"""
        header = self._data[self._at : header_end]
        if len(header) > MAX_HEADER:
            raise Unconvertible("a header is too long")
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise Unconvertible("there are too many parts")
        if header and not header.endswith(b"\r\n"):  # which only the last line of a content can lack
            header += b"\r\n"
        fields = read_mime_fields(header, ascii_only=self._ascii_header)
        part = _Part(
            fields, self._base + self._at, self._base + header_end, self._base + body, self._frozen, self._is_message
        )
        self._at = body
        kind = fields.type or self._default
        if fields.encoding in IDENTITIES and (fields.boundary is not None or kind == "message/rfc822"):
            self._begin_container(part, kind)
        else:
            self._region, self._part, self._tally = _Region.LEAF, part, Tally()

    def _begin_container(self, part: _Part, kind: str) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Unconvertible("the parts are nested too deep")
        self._relabel_container(part)
        if part.is_message and part.fields.boundary is not None and not part.fields.has_version:
            self._labels.append(Edit(part.header, part.header, _VERSION))
        boundary = part.fields.boundary
        if boundary is None:
            self._region, self._is_message, self._default = _Region.HEADER, True, ""
            return
        self._multiparts += 1
        if self._multiparts > MAX_MULTIPARTS:
            raise Unconvertible("there are too many parts")
        if any(one.boundary == boundary for one in self._open):
            raise Unconvertible("two multiparts have the same boundary")
        self._frozen = part.frozen or kind == "multipart/signed"
        self._open.append(_Open(boundary, self._frozen, kind == "multipart/digest", self._depth))
        self._set_delimiter()
        self._region, self._part, self._tally = _Region.BETWEEN, None, Tally()

    # Delimiters.

    def _set_delimiter(self) -> None:
        """Any line that begins as a delimiter of an open multipart does, whatever ends the line before it."""
        if self._open:
            names = b"|".join([re.escape(one.boundary) for one in self._open])
            self._delimiter = re.compile(rb"(?:\r\n|[\r\n])--(?:" + names + rb")")
        else:
            self._delimiter = None

    def _read_delimiter(self, start: int, end: int) -> None:
        """A delimiter line: the next part of an open multipart, or its end."""
        line = self._data[start:end].rstrip(b"\r\n").rstrip(b" \t")[2:]
        begun = [one for one in self._open if one.boundary == line]
        ended = [one for one in self._open if one.boundary + b"--" == line]
        if len(begun) + len(ended) != 1 or (begun and not self._data.endswith(b"\r\n", start, end)):
            raise Unconvertible("a line looks like a boundary and is none")
        found = (begun or ended)[0]
        if found is not self._open[-1]:
            raise Unconvertible("a multipart is not closed")
        if ended:
            self._open.pop()
            self._set_delimiter()
            self._region, self._part, self._tally = _Region.BETWEEN, None, Tally()
            # The line end belongs to what follows, as it may begin the delimiter of the multipart around.
            self._at = end - (2 if self._data.endswith(b"\r\n", start, end) else 0)
        else:
            self._region, self._is_message, self._frozen = _Region.HEADER, False, found.frozen
            self._depth = found.depth
            self._default = "message/rfc822" if found.is_digest else ""  # RFC 2046 §5.1.5
            self._at = end

    # Verdicts.

    def _end_region(self, until: int, *, closes: bool) -> None:
        """The leaf, preamble or epilogue ends: does it fit?"""
        if self._region is _Region.HEADER:
            return
        self._pass_by(until)
        tally, part, self._part = self._tally, self._part, None
        tally.end()
        fits = tally.fits_eight_bit if self._rank else tally.fits_seven_bit
        if part is None:
            if not fits:
                raise Unconvertible("there are octets outside all parts that do not fit")
        elif fits:
            self._relabel_leaf(part, tally)
        else:
            self._encode(part, tally, closes=closes)

    def _relabel_leaf(self, part: _Part, tally: Tally) -> None:
        rank = _RANK.get(part.fields.encoding, 0)
        if rank > self._rank and not part.frozen:
            self._label(part, b"8bit" if tally.eight_bit else b"7bit", worth_it=rank == _RANK["binary"])

    def _relabel_container(self, part: _Part) -> None:
        rank = _RANK[part.fields.encoding]
        if rank > self._rank and not part.frozen:
            self._label(part, b"8bit" if self._rank else b"7bit", worth_it=rank == _RANK["binary"])

    def _label(self, part: _Part, encoding: bytes, *, worth_it: bool) -> None:
        at, end = part.fields.encoding_at or (0, 0)  # a label that is too high is there
        edit = Edit(part.header + at, part.header + end, _label(encoding))
        (self._edits if worth_it else self._labels).append(edit)

    def _encode(self, part: _Part, tally: Tally, *, closes: bool) -> None:
        fields = part.fields
        kind = fields.type or self._default or "text/plain"
        if part.frozen:
            raise Unconvertible("a signed part would have to be changed")
        if fields.encoding not in IDENTITIES:
            raise Unconvertible(f"a part is not encoded as it says ({fields.encoding[:20]})")
        if kind.startswith("message/") and not kind.startswith("message/global"):  # RFC 2046 §5.2, RFC 6532 §3.7
            raise Unconvertible(f"a part of type {kind[:40]} cannot be encoded")
        coding = Coding.BASE64
        if kind.startswith("text/") and not tally.odd:
            coding = Coding.QUOTED_PRINTABLE
        label = _label(coding.value.encode("ascii"))
        if fields.encoding_at is not None:
            start, end = fields.encoding_at
            self._edits.append(Edit(part.header + start, part.header + end, label))
        else:
            self._edits.append(Edit(part.header_end, part.header_end, label))
        if part.is_message and not fields.has_version:
            self._edits.append(Edit(part.header, part.header, _VERSION if fields.type else _UNLABELLED))
        end = part.body + tally.size
        self._edits.append(Edit(part.body, end, coding=coding, closes=closes))


def _label(encoding: bytes) -> bytes:
    return b"Content-Transfer-Encoding: " + encoding + b"\r\n"
