"""Makes the changes of a survey while the content goes by."""

from collections.abc import Sequence
from typing import assert_never

from postroom.mail.downgrade.coding import Base64, Encoder, QuotedPrintable
from postroom.mail.downgrade.edits import Coding, Edit


class Splicer:
    """Takes the content that was surveyed, cut anywhere, and gives what it becomes. The edits stand in order."""

    __slots__ = ("_at", "_edits", "_encoder", "_next")

    def __init__(self, edits: Sequence[Edit]) -> None:
        self._edits = edits
        self._next = 0
        self._at = 0  # octets of the content that have gone by
        self._encoder: Encoder | None = None  # of the edit that has begun

    def write(self, piece: bytes) -> bytes:
        """What the next octets become."""
        written: list[bytes] = []
        used = 0
        while used < len(piece) and self._next < len(self._edits):
            edit = self._edits[self._next]
            at = self._at + used
            if at < edit.start:
                until = min(edit.start - self._at, len(piece))
                written.append(piece[used:until])
                used = until
                continue
            until = min(edit.end - self._at, len(piece))
            written.append(self._change(edit, piece[used:until]))
            used = until
            if self._at + used == edit.end:
                written.append(self._finish(edit))
        if used < len(piece):
            written.append(piece[used:])
        self._at += len(piece)
        return b"".join(written)

    def end(self) -> bytes:
        """What stands behind the last octet: text that is inserted there."""
        left = self._edits[self._next :]
        self._next = len(self._edits)
        return b"".join([edit.text for edit in left])

    def _change(self, edit: Edit, data: bytes) -> bytes:
        if edit.coding is None:
            return b""
        if self._encoder is None:
            self._encoder = _encoder(edit.coding)
        return self._encoder.write(data)

    def _finish(self, edit: Edit) -> bytes:
        self._next += 1
        encoder, self._encoder = self._encoder, None
        return edit.text if encoder is None else encoder.end(closes=edit.closes)


def _encoder(coding: Coding) -> Encoder:
    match coding:
        case Coding.BASE64:
            return Base64()
        case Coding.QUOTED_PRINTABLE:
            return QuotedPrintable()
        case _:
            assert_never(coding)
