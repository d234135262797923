"""What the frames of this wire carry."""

from enum import IntEnum


class Kind(IntEnum):
    """What a frame carries. The first one to the child is the SETUP."""

    SETUP = 1
    REQUESTS = 2
    CANCELLED = 3
    CLOSE = 4
    EVENTS = 5
    """The only one towards the node."""
