"""Expands what reporters compress, a piece at a time and within bounds: a bomb costs no more than an honest report.

gzip (RFC 1952) and zip archives by hand: of an archive only the few entries that a report has, stored or deflated,
never encrypted, and never an archive in an archive.
"""

import struct
import zlib
from collections.abc import Generator, Iterator

from postroom.mailauth.reports.model import Unreadable

MOST_EXPANDED = 32 << 20
"""Octets of all that comes out of one attachment. The largest reports that are really sent have some megabytes."""

MOST_RATIO = 250
"""How much larger than itself an attachment may become, beyond the first MiB: rows that are nearly alike reach 140."""

MOST_FILES = 5
PIECE = 1 << 16

GZIP = b"\x1f\x8b"
ZIP = b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
_FREE = 1 << 20
_MOST_MEMBERS = 8
_ENTRY = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_END = struct.Struct("<4s4H2IH")
_LONGEST_NAME = 1024
_STORED, _DEFLATED = 0, 8

Pieces = Iterator[bytes]


class Budget:
    """What one attachment of so many octets may still become."""

    def __init__(self, compressed: int) -> None:
        self._left = min(MOST_EXPANDED, _FREE + compressed * MOST_RATIO)

    def take(self, piece: bytes) -> bytes:
        """Count a piece that came out. Raises Unreadable where it is too much."""
        self._left -= len(piece)
        if self._left < 0:
            raise Unreadable("it expands to more than any report has")
        return piece


def is_compressed(data: bytes) -> bool:
    """Whether it looks like gzip or zip, whatever its label says."""
    return data.startswith((GZIP, ZIP, _EMPTY_ZIP))


def files_in(data: bytes) -> Iterator[Pieces]:
    """The files in an attachment, each in pieces; one that is not compressed is one file.

    The pieces of one must be read before the next is asked for. Raises Unreadable, also while they are read.
    """
    if data.startswith(GZIP):
        yield _gunzip(data, Budget(len(data)))
    elif is_compressed(data):
        budget = Budget(len(data))
        for method, start, size in _entries(data):
            yield _entry(data[start : start + size], method, budget)
    else:
        budget = Budget(len(data))
        yield (budget.take(data[at : at + PIECE]) for at in range(0, len(data), PIECE))


def _gunzip(data: bytes, budget: Budget) -> Pieces:
    for _ in range(_MOST_MEMBERS):  # RFC 1952 §2.2: members one after the other
        data = yield from _inflate(data, 16 + zlib.MAX_WBITS, budget)
        if not data.startswith(GZIP):  # what follows the last one is padding
            return
    raise Unreadable("it has too many gzip members")


def _inflate(data: bytes, window: int, budget: Budget) -> Generator[bytes, None, bytes]:
    """What the stream holds; returns what stands behind its end."""
    stream = zlib.decompressobj(window)
    at, pending = 0, b""
    try:
        while not stream.eof:
            if not pending:
                pending, at = data[at : at + PIECE], at + PIECE
                if not pending:
                    raise Unreadable("the compressed data ends early")
            piece = stream.decompress(pending, PIECE)
            pending = stream.unconsumed_tail
            if piece:
                yield budget.take(piece)
    except zlib.error as error:
        raise Unreadable(f"the compressed data is broken: {error}") from error
    return stream.unused_data + data[at:]


def _entry(data: bytes, method: int, budget: Budget) -> Pieces:
    if method == _STORED:
        for at in range(0, len(data), PIECE):
            yield budget.take(data[at : at + PIECE])
    else:
        yield from _inflate(data, -zlib.MAX_WBITS, budget)


def _entries(data: bytes) -> list[tuple[int, int, int]]:
    """Method, place and compressed size of each file, by the central directory at the end of the archive."""
    end = data.rfind(b"PK\x05\x06", max(len(data) - _END.size - (1 << 16), 0))
    if end < 0 or end + _END.size > len(data):
        raise Unreadable("the zip archive has no end: it is cut off")
    _, _, _, _, number, _, at, _ = _END.unpack_from(data, end)
    if number > MOST_FILES:
        raise Unreadable(f"the zip archive has {number} files")
    found = []
    spent = 0
    for _ in range(number):
        if at + _ENTRY.size > end:
            raise Unreadable("the directory of the zip archive is broken")
        fields = _ENTRY.unpack_from(data, at)
        sign, flags, method, size, name, extra, comment, local = (fields[i] for i in (0, 3, 4, 8, 10, 11, 12, 16))
        if sign != b"PK\x01\x02" or name > _LONGEST_NAME:
            raise Unreadable("the directory of the zip archive is broken")
        is_folder = data[at + _ENTRY.size : at + _ENTRY.size + name].endswith(b"/")
        at += _ENTRY.size + name + extra + comment
        if is_folder:
            continue
        if flags & 1:
            raise Unreadable("the zip archive is encrypted")
        if method not in (_STORED, _DEFLATED):
            raise Unreadable(f"the zip archive uses method {method}, which no report does")
        found.append((method, _start(data, local, size), size))
        spent += size
    if spent > len(data):  # files that share their data, as only bombs have them
        raise Unreadable("the files of the zip archive overlap")
    return found


def _start(data: bytes, local: int, size: int) -> int:
    """Where the data of an entry begins, after its local header."""
    if local + _LOCAL.size > len(data) or not data.startswith(ZIP, local):
        raise Unreadable("the zip archive names a file that is not there")
    fields = _LOCAL.unpack_from(data, local)
    start = local + _LOCAL.size + int(fields[9]) + int(fields[10])
    if start + size > len(data):
        raise Unreadable("a file of the zip archive is cut off")
    return start
