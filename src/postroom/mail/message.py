"""A message under its queue id: envelope, prefix and content (RFC 5321 §2.3.1)."""

from collections.abc import Callable
from functools import lru_cache
from typing import NewType

from postroom.mail.envelope import Envelope
from postroom.mail.value import value

QueueId = NewType("QueueId", int)
"""64 bits, time-ordered, unique among nodes: 42 bits of milliseconds, 10 of node, 11 of sequence; never negative."""

_EPOCH_MS = 1_700_000_000_000  # 2023-11-14; 42 bits of milliseconds last until 2163
_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base32: no i, l, o, u
_PAIRS = tuple(first + second for first in _CROCKFORD for second in _CROCKFORD)
_READ = {**{c: i for i, c in enumerate(_CROCKFORD)}, "o": 0, "i": 1, "l": 1}
_WIDTH = 13  # 13 x 5 bits hold 64


@lru_cache(1024)  # each id is shown five times or so within a moment
def show_queue_id(queue_id: int) -> str:
    """The queue id as people see it: 13 characters of Crockford base32, in order of time."""
    pairs = _PAIRS
    return (
        _CROCKFORD[queue_id >> 60 & 31]
        + pairs[queue_id >> 50 & 1023]
        + pairs[queue_id >> 40 & 1023]
        + pairs[queue_id >> 30 & 1023]
        + pairs[queue_id >> 20 & 1023]
        + pairs[queue_id >> 10 & 1023]
        + pairs[queue_id & 1023]
    )


def read_queue_id(text: str) -> QueueId:
    """The queue id that ``text`` shows, in either case, with Crockford's look-alikes. ValueError if it is none."""
    value = 0
    lowered = text.strip().lower()
    if len(lowered) != _WIDTH or any(c not in _READ for c in lowered):
        raise ValueError(f"{text!r} is not a queue id: a queue id is {_WIDTH} letters and digits")
    for character in lowered:
        value = value << 5 | _READ[character]
    if value >= 1 << 63:
        raise ValueError(f"{text!r} is not a queue id: it is out of range")
    return QueueId(value)


class QueueIds:
    """Makes queue ids for one node. ``now`` gives seconds since the Unix epoch; ``node`` is 0 to 1023."""

    def __init__(self, now: Callable[[], float], node: int = 0) -> None:
        self._now = now
        self._node = node & 1023
        self._last_ms = 0
        self._sequence = 0

    def next(self) -> QueueId:
        """A fresh id, greater than every earlier one of this maker even if the clock steps back."""
        ms = max(int(self._now() * 1000) - _EPOCH_MS, self._last_ms)
        if ms == self._last_ms:
            self._sequence += 1
            if self._sequence >= 2048:
                ms, self._sequence = ms + 1, 0
        else:
            self._sequence = 0
        self._last_ms = ms
        return QueueId(ms << 21 | self._node << 11 | self._sequence)


def first_id_at(at: float) -> QueueId:
    """The least queue id that can be made at that time, in seconds since the Unix epoch."""
    return QueueId(max(int(at * 1000) - _EPOCH_MS, 0) << 21)


@value(frozen=True, slots=True)
class Message:
    """One message under one queue id. The content itself stays in the store.

    ``received_at`` is seconds since the Unix epoch, ``prefix`` the header fields that we add in front (whole CRLF
    lines), ``content_size`` the octets of the content as received, ``account`` the login that submitted it or ``""``,
    ``client`` the peer's address as text or ``""`` for mail of our own, ``message_id`` the Message-ID's value or
    ``""``, ``tags`` what rules of routing go by: tags of its header, and conditions on the header that hold.
    """

    queue_id: QueueId
    received_at: float
    envelope: Envelope
    prefix: bytes
    content_size: int
    account: str = ""
    client: str = ""
    message_id: str = ""
    tags: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Octets of prefix and content together."""
        return len(self.prefix) + self.content_size

    @property
    def starts_at(self) -> float:
        """When its delivery begins, and with it its age: as it is received, or released (RFC 4865 §4.2)."""
        hold_until = self.envelope.hold_until
        return self.received_at if hold_until is None else max(self.received_at, hold_until)
