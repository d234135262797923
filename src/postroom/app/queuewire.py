"""The wire between the node and the process with the queue: what its frames carry, and what the child is told first."""

import pickle
import struct
from enum import IntEnum

from postroom.config.model import Settings
from postroom.mail.value import value
from postroom.mailauth.keys.sealing import Sealer
from postroom.net.apart.frames import SETUP
from postroom.report.events import Report
from postroom.report.log import LogForm

SECONDS = struct.Struct("!d")
"""The body of a DRAIN."""


class Kind(IntEnum):
    """What a frame carries; first those to the child, then those to the node."""

    SETUP = SETUP
    ADMIT = 2
    WRITES = 3
    REVIVE = 4
    LEVEL = 5
    ASK_METRICS = 6
    DRAIN = 7
    CLOSE = 8

    READY = 20
    ADMITTED = 21
    WRITTEN = 22
    LINES = 23
    REPORT = 24
    METRICS = 25
    DRAINED = 26


@value(frozen=True, slots=True)
class QueueSetup:
    """What the process with the queue must know. ``wanted`` are the kinds of reports that the node is to hear of;
    the node ``began`` then: what its sessions have stored of messages since is not swept when a child is replaced.
    """

    settings: Settings
    node: str
    form: LogForm
    sealer: Sealer
    wanted: tuple[type[Report], ...]
    began: float

    def to_bytes(self) -> bytes:
        """For the wire. Secrets are in it."""
        return pickle.dumps(self, protocol=5)

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> "QueueSetup":
        """What the node wrote; nobody else may be believed."""
        setup = pickle.loads(data)  # noqa: S301 - the node that started us wrote it
        if not isinstance(setup, cls):
            raise TypeError("that is no setup")
        return setup
