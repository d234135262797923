"""One end of the wire: who holds it, and how much waits at it."""

import socket

from postroom.net.apart.link import Link


def make_link() -> Link:
    return Link(lambda *_: None, lambda: None, lambda _: None)


async def test_no_program_that_is_started_holds_the_end() -> None:
    """The child gets its end by inheritance: a program that it starts must not have it from there."""
    ours, theirs = socket.socketpair()
    theirs.set_inheritable(True)
    link = make_link()
    with ours:
        await link.open(theirs)
        assert not theirs.get_inheritable()
        link.abort()


async def test_what_waits_is_known() -> None:
    ours, theirs = socket.socketpair()
    link = make_link()
    assert link.waiting == 0
    with ours:
        await link.open(theirs)
        link.send(1, b"x" * (8 << 20))
        assert 0 < link.waiting <= (8 << 20) + 5
        assert link.is_full
        link.abort()
