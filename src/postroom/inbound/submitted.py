"""The header of a submitted message: its Bcc is taken out, as nobody else does it any more.

RFC 5322 §3.6.3 lets the field be removed before the message is sent; content is not changed otherwise (docs/adr/0012).
"""

import re

from postroom.inbound.heading import Edit, HeaderSpool, Spool, unchanged
from postroom.mail.headers import Header, split_header

_BCC = re.compile(rb"^(?:Resent-)?Bcc[ \t]*:[^\n]*(?:\n|\Z)(?:[ \t][^\n]*(?:\n|\Z))*", re.IGNORECASE | re.MULTILINE)
_ORIGIN = re.compile(rb"^(?:From|Sender)[ \t]*:", re.IGNORECASE | re.MULTILINE)


class SubmittedSpool(HeaderSpool):
    """A spool that passes the content on without Bcc. ``header`` is whole after ``finish``."""

    __slots__ = ("has_hidden_origin", "header")

    def __init__(self, inner: Spool, edit: Edit = unchanged) -> None:
        super().__init__(inner, edit)
        self.header = Header((), 0, 0)
        self.has_hidden_origin = False
        """A From or Sender stands behind a line that is no field: readers differ in whether they see it."""

    def edited(self, header: bytes) -> bytes:
        """The header without Bcc."""
        self.header = split_header(header)
        self.has_hidden_origin = _ORIGIN.search(header, self.header.end) is not None
        if _BCC.search(header) is not None:
            header = _BCC.sub(b"", header)
        return super().edited(header)
