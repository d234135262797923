"""What every child does first: it leaves signals to the node, and hears what it must know."""

import signal
import socket

from postroom.net.apart.frames import SETUP, FrameReader, WireError

_READ = 65536


def leave_signals_to_the_node() -> None:
    """Those that end or reload a server are meant for the node, which drains before its children end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def read_setup(end: socket.socket) -> bytes | None:
    """What the node says first; None if it has gone. WireError where it begins with something else."""
    reader = FrameReader()
    while data := end.recv(_READ):
        for kind, body in reader.feed(data):
            if kind != SETUP:
                raise WireError(f"the node began with a frame of kind {kind}")
            return bytes(body)
    return None
