"""What a child hears first."""

import socket

import pytest

from postroom.net.apart.child import read_setup
from postroom.net.apart.frames import SETUP, WireError, frame


def heard(*pieces: bytes) -> bytes | None:
    node, child = socket.socketpair()
    with node, child:
        for piece in pieces:
            node.sendall(piece)
        node.shutdown(socket.SHUT_WR)
        return read_setup(child)


def test_the_setup() -> None:
    whole = frame(SETUP, b"go")
    assert heard(whole) == b"go"
    assert heard(whole[:3], whole[3:]) == b"go"


def test_a_node_that_has_gone() -> None:
    assert heard() is None
    assert heard(frame(SETUP, b"go")[:-1]) is None


def test_anything_else() -> None:
    with pytest.raises(WireError, match="kind 7"):
        heard(frame(7, b""))
