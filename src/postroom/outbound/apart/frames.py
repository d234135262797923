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


class WireError(Exception):
    """What came is not of this wire: nothing after it can be trusted."""


def frame(kind: Kind, body: bytes) -> bytes:
    """One frame."""
    return _HEAD.pack(len(body), kind) + body


class FrameReader:
    """Takes octets as they come, gives whole frames."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[tuple[Kind, bytes]]:
        """The frames that ``data`` completes. WireError where it cannot be one."""
        held = self._held
        held += data
        found: list[tuple[Kind, bytes]] = []
        at, end = 0, len(held)
        while end - at >= _HEAD.size:
            length, number = _HEAD.unpack_from(held, at)
            if length > MAX_FRAME:
                raise WireError(f"a frame of {length} octets")
            first = at + _HEAD.size
            if end - first < length:
                break
            try:
                kind = Kind(number)
            except ValueError as error:
                raise WireError(f"a frame of kind {number}") from error
            at = first + length
            found.append((kind, bytes(memoryview(held)[first:at])))
        if at:
            del held[:at]
        return found
