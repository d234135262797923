"""The header of a message, read from its raw bytes and never written back (RFC 5322 §2.2).

Ways in: ``glance`` answers the few questions that every message is asked without taking the header apart,
``field_values`` gives the fields of one name alone, ``split_header`` all of them with their places. All look at a
bounded piece and accept whatever peers send.
"""

import re
from datetime import UTC, datetime

from postroom.mail.value import value

MAX_HEADER = 1 << 20
"""Octets of content that are searched for the end of the header; what is longer counts as header without end."""

MAX_FIELDS = 10_000
"""Fields that ``split_header`` gives at most; no honest message comes near."""

_NAME = rb"[!-9;-~]+"  # RFC 5322 §3.6.8 ftext
# White space before the colon is obs-optional (RFC 5322 §4.5). The value goes on to the first CRLF that no white space
# follows; nothing is tried twice, so that it takes as long as the field is.
# Python before 3.11.5, as Debian 12 has it, goes on behind what it tried in vain where a group with ``*+`` comes to its
# end (CPython gh-106052). It is right where the alternative that is tried last, here ``[^\r]++``, fails at once.
_FIELD = re.compile(rb"(%b)[ \t]*:([^\r]*+(?:\r\n[ \t][^\r]*+|\r(?!\n)|[^\r]++)*+)(?:\r\n)?" % _NAME)
_NO_FIELD = re.compile(rb"\r\n(?![ \t]|%b[ \t]*:|\Z)" % _NAME)  # in front of a line that begins no field and folds none
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_MSG_ID = re.compile(rb"<[^<>\s\x00-\x1f\x7f]{1,250}>")
_LINE_END = b"\r\n"
_BLANK_LINE = b"\r\n\r\n"

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@value(frozen=True, slots=True)
class Field:
    """One field as it stands: ``name`` as written, ``value`` after the colon up to the last line's CRLF, folding kept.

    ``content[start:end]`` is the whole field with its CRLF.
    """

    name: bytes
    value: bytes
    start: int
    end: int

    @property
    def text(self) -> str:
        """The value unfolded, without surrounding white space; octets that are not UTF-8 are replaced."""
        return unfold(self.value)


@value(frozen=True, slots=True)
class Header:
    """All fields in order. ``end`` is where the fields end, ``body`` where the body begins (after the empty line)."""

    fields: tuple[Field, ...]
    end: int
    body: int

    def first(self, name: bytes) -> Field | None:
        """The first field of that name in any case, None if there is none."""
        wanted = name.lower()
        for field in self.fields:
            if field.name.lower() == wanted:
                return field
        return None

    def all(self, name: bytes) -> tuple[Field, ...]:
        """Every field of that name in any case, from top to bottom."""
        wanted = name.lower()
        return tuple(field for field in self.fields if field.name.lower() == wanted)


@value(frozen=True, slots=True)
class Glance:
    """What every message is asked: how many Received fields, its Message-ID (``""``: none), whether there is a Date.

    ``message_id`` has its angle brackets. ``header_size`` is the octets of the fields with their CRLFs.
    ``waives_tls`` says that there is a TLS-Required field to be looked at (``mail/tags.py``).
    """

    received: int
    message_id: str
    has_date: bool
    header_size: int
    waives_tls: bool = False


def find_body(content: bytes) -> tuple[int, int]:
    """Where the fields end and where the body begins. Content may start with the empty line or have none at all."""
    if content.startswith(_LINE_END):
        return 0, 2
    blank = content.find(_BLANK_LINE, 0, MAX_HEADER)
    if blank >= 0:
        return blank + 2, blank + 4
    end = min(len(content), MAX_HEADER)
    return end, end


def glance(content_start: bytes) -> Glance:
    """Read the few facts that intake needs, in a handful of C-level searches."""
    end, _ = find_body(content_start)
    lowered = b"\n" + content_start[:end].lower()  # each field's name now follows a newline, in one spelling
    at = lowered.find(b"\nmessage-id:")
    message_id = ""
    if at >= 0:
        # One octet was put in front, so ``at`` is also where the field starts in the content.
        found = _MSG_ID.search(content_start, at + 11, _field_end(content_start, at + 11, end))
        if found is not None:
            message_id = found[0].decode("utf-8", "replace")
    has_date, waives_tls = b"\ndate:" in lowered, b"\ntls-required:" in lowered
    return Glance(lowered.count(b"\nreceived:"), message_id, has_date, end, waives_tls)


def find_field(content_start: bytes, name: bytes) -> str | None:
    """The unfolded value of the first field of that name, None if there is none; without splitting the others."""
    end, _ = find_body(content_start)
    lowered = b"\n" + content_start[:end].lower()
    at = lowered.find(b"\n" + name.lower() + b":")
    if at < 0:
        return None
    value_start = at + len(name) + 1
    return unfold(content_start[value_start : _field_end(content_start, value_start, end)])


def field_values(header: bytes, name: bytes) -> tuple[bytes, ...]:
    """The values of the fields of that name, as ``split_header`` finds them but without making fields of the others.

    ``header`` ends where the fields do (``find_body``); what follows the first line that is no field is body here too.
    """
    if header[:1] in b" \t":
        return ()
    lowered = _LINE_END + header.lower()  # each field's name now follows a line end, in one spelling
    stray = _NO_FIELD.search(lowered)
    # A line end was put in front, so where one is found there a line of the header begins.
    end = len(header) if stray is None else stray.start()
    wanted = _LINE_END + name.lower()
    values: list[bytes] = []
    at = lowered.find(wanted)
    while at >= 0:
        field = _FIELD.match(header, at, end)
        if field is not None and len(field[1]) == len(name):
            values.append(field[2])
        at = lowered.find(wanted, at + 1)
    return tuple(values)


def split_header(content_start: bytes) -> Header:
    """All fields with their offsets. The header also ends at the first line that is no field: what follows is body."""
    end, body = find_body(content_start)
    fields: list[Field] = []
    at = 0
    while at < end and len(fields) < MAX_FIELDS:
        match = _FIELD.match(content_start, at, end)
        if match is None:
            return Header(tuple(fields), at, at)
        after = match.end()
        fields.append(Field(match[1], match[2], at, after))
        at = after
    return Header(tuple(fields), at, body if at == end else at)


def unfold(value: bytes) -> str:
    """The value on one line (RFC 5322 §2.2.3), without surrounding white space; not UTF-8 is replaced."""
    if b"\n" in value:
        value = _FOLD.sub(b"", value)
    return value.decode("utf-8", "replace").strip(" \t\r\n")


def show_date(at: float) -> str:
    """The date-time of RFC 5322 §3.3 for seconds since the Unix epoch, in UTC."""
    moment = datetime.fromtimestamp(int(at), UTC)
    return f"{_DAYS[moment.weekday()]}, {moment.day} {_MONTHS[moment.month - 1]} {moment.year} {moment:%H:%M:%S} +0000"


def _field_end(content: bytes, at: int, end: int) -> int:
    """Where the field ends whose value stands at ``at``: after the first CRLF that no white space follows."""
    while True:
        line_end = content.find(_LINE_END, at, end)
        if line_end < 0:
            return end
        at = line_end + 2
        if at >= end or content[at] not in b" \t":
            return at
