"""Frames on the wire between node and child: four octets of length, one of kind, and what they carry.

Kinds are numbers here; each wire has its own. The first frame to a child is its ``SETUP``.
"""

import struct

_HEAD = struct.Struct("!IB")

SETUP = 1
"""The kind of the first frame to any child."""

MAX_FRAME = 64 << 20
"""Octets. One turn of the loop brings far less; one that says more has lost its way."""


class WireError(Exception):
    """What came is not of this wire: nothing after it can be trusted."""


def head(kind: int, body: bytes) -> bytes:
    """What stands before the body of a frame."""
    return _HEAD.pack(len(body), kind)


def frame(kind: int, body: bytes) -> bytes:
    """One frame."""
    return head(kind, body) + body


class FrameReader:
    """Takes octets as they come, gives whole frames. What has come whole at once is not copied."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._wanted = 0  # octets that the frame which has begun will have

    def feed(self, data: bytes | bytearray) -> list[tuple[int, memoryview]]:
        """The frames that ``data`` completes, each with its kind. WireError where it cannot be one."""
        if self._held:
            self._held += data
            if len(self._held) < self._wanted:
                return []
            data, self._held = self._held, bytearray()  # never copied: it may be large
        found: list[tuple[int, memoryview]] = []
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
            at = first + length
            found.append((number, view[first:at]))
        if at < end:
            self._held += view[at:]
        return found
