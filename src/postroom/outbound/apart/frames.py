"""Frames on the wire between node and child: four octets of length, one of kind, and what they carry."""

import struct
from enum import IntEnum

_HEAD = struct.Struct("!IB")

MAX_FRAME = 64 << 20
"""Octets. One turn of the loop brings far less; one that says more has lost its way."""


class Kind(IntEnum):
    """What a frame carries. The first one to the child is the SETUP."""

    SETUP = 1
    REQUESTS = 2
    CANCELLED = 3
    CLOSE = 4
    EVENTS = 5
    """The only one towards the node."""


_KINDS = {kind.value: kind for kind in Kind}


class WireError(Exception):
    """What came is not of this wire: nothing after it can be trusted."""


def head(kind: Kind, body: bytes) -> bytes:
    """What stands before the body of a frame."""
    return _HEAD.pack(len(body), kind)


def frame(kind: Kind, body: bytes) -> bytes:
    """One frame."""
    return head(kind, body) + body


class FrameReader:
    """Takes octets as they come, gives whole frames. What has come whole at once is not copied."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._wanted = 0  # octets that the frame which has begun will have

    def feed(self, data: bytes) -> list[tuple[Kind, memoryview]]:
        """The frames that ``data`` completes. WireError where it cannot be one."""
        if self._held:
            self._held += data
            if len(self._held) < self._wanted:
                return []
            data = bytes(self._held)
            self._held.clear()
        found: list[tuple[Kind, memoryview]] = []
        at, end, view = 0, len(data), memoryview(data)
        self._wanted = 0
        while end - at >= _HEAD.size:
            length, number = _HEAD.unpack_from(data, at)
            if length > MAX_FRAME:
                raise WireError(f"a frame of {length} octets")
            first = at + _HEAD.size
            if end - first < length:
                self._wanted = _HEAD.size + length
                break
            kind = _KINDS.get(number)
            if kind is None:
                raise WireError(f"a frame of kind {number}")
            at = first + length
            found.append((kind, view[first:at]))
        if at < end:
            self._held += view[at:]
        return found
