"""Nothing is smuggled: one transaction in is one message at the next hop, whatever stands in the content.

RFC 5321 §2.3.8: only CRLF ends a line; §4.1.1.4: only <CRLF>.<CRLF> ends the content. Servers that take less for an end
are the ones at which a second message comes out of the middle of the first.
"""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bench.postfix import why_not
from tests.interop.hops import SOMEONE, AiosmtpdHop, EximHop, Hop, PostfixHop
from tests.system.fixtures import MakeProgram
from tests.system.program import PATIENCE, Program, wait_until

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="it starts as root only")
HOPS = [
    pytest.param(PostfixHop, marks=[pytest.mark.needs("postfix"), AS_ROOT], id="postfix"),
    pytest.param(EximHop, marks=[pytest.mark.needs("exim4"), AS_ROOT], id="exim"),
    pytest.param(AiosmtpdHop, id="aiosmtpd"),
]
_BREAKS = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\r\n",
    b"\n\r",
    b"\r\n\x00",
    b"\x00\r\n",
    b"\n\n",
    b"\x0b",
    b"\x85",
    b"\xe2\x80\xa8",
)
ENDS = tuple(
    before + dots + after
    for before in _BREAKS
    for dots in (b".", b"..")
    for after in _BREAKS
    if not (before == after == b"\r\n" and dots == b".")  # the one real end
    and not (before.endswith(b"\r\n") and dots == b"." and after.startswith(b"\r\n"))
)
SECOND = (
    b"MAIL FROM:<admin@remote.example>\r\nRCPT TO:<" + SOMEONE.encode() + b">\r\nDATA\r\n"
    b"Subject: smuggled\r\n\r\nthis was never sent\r\n"
)
DONE = b"Subject: the last one\r\n\r\nall others were sent before\r\n"


class Wire:
    """A client that writes exactly what it is told, without dot-stuffing."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._replies = self._socket.makefile("rb")
        assert self.reply().startswith(b"220")
        assert self.say(b"EHLO client.example\r\n").startswith(b"250")

    def say(self, data: bytes) -> bytes:
        self._socket.sendall(data)
        return self.reply()

    def reply(self) -> bytes:
        line = self._replies.readline()
        while line[3:4] == b"-":
            line = self._replies.readline()
        return line

    def begin(self) -> None:
        """A transaction up to where content is due."""
        assert self.say(b"MAIL FROM:<sender@origin.example>\r\n").startswith(b"250")
        assert self.say(b"RCPT TO:<" + SOMEONE.encode() + b">\r\n").startswith(b"250")

    def data(self, content: bytes) -> bytes:
        """The content as it stands, then the end; the one reply to it."""
        self.begin()
        assert self.say(b"DATA\r\n").startswith(b"354")
        return self.say(content + b"\r\n.\r\n")

    def chunk(self, content: bytes) -> bytes:
        """The same as one chunk, in which a dot means nothing (RFC 3030 §2)."""
        self.begin()
        return self.say(b"BDAT %d LAST\r\n" % len(content) + content)

    def is_in_step(self) -> bool:
        """Nothing but this NOOP was answered: no line of the content was taken for a command."""
        return self.say(b"NOOP\r\n").startswith(b"250 2.0.0")

    def close(self) -> None:
        self._replies.close()
        self._socket.close()


@pytest.fixture
def run(make_program: MakeProgram, open_folder: Path) -> Iterator[Callable[..., tuple[Program, Hop]]]:
    """A hop, and a Postroom that relays to it."""
    hops: list[Hop] = []

    def begin(kind: Callable[[Path], Hop], *, normalise: bool) -> tuple[Program, Hop]:
        if kind is PostfixHop and why_not():
            pytest.skip(why_not())
        hop = kind(open_folder / "hop")
        hops.append(hop)
        hop.start()
        settings = {
            "smarthost": [{"name": "hop", "host": "127.0.0.1", "port": hop.port, "tls": "none"}],
            "route": [{"domains": ["remote.example"], "via": "hop"}],
            "smtp": {
                "trusted_networks": ["127.0.0.0/8"],
                "normalise_newlines": normalise,
                "max_errors": 10_000,
                "max_line": 100_000,
            },
            "flood": {"tarpit": 0},
        }
        return make_program(settings).start(), hop

    try:
        yield begin
    finally:
        for hop in hops:
            hop.stop()


@pytest.mark.parametrize("normalise", [False, True], ids=["refuse", "normalise"])
@pytest.mark.parametrize("kind", HOPS)
def test_one_transaction_is_one_message(
    run: Callable[..., tuple[Program, Hop]], kind: Callable[[Path], Hop], normalise: bool
) -> None:
    program, hop = run(kind, normalise=normalise)
    wire = Wire(program.port("mx"))
    taken = 0
    for send in (wire.data, wire.chunk):
        for number, end in enumerate(ENDS):
            content = b"Subject: %s %d\r\n\r\nfirst" % (send.__name__.encode(), number) + end + SECOND
            reply = send(content)
            bare = _has_bare(content)
            if bare and not normalise:
                assert reply.startswith(b"5"), f"{end!r} has a bare CR or LF and was answered {reply!r}"
            assert reply[:1] in b"25", f"{end!r} was answered {reply!r}"
            assert wire.is_in_step(), f"{end!r} was taken for the end of the content"
            taken += reply.startswith(b"2")
    assert taken > 10, "most of the endings are harmless once they are read right"
    assert wire.data(DONE).startswith(b"250")
    wire.close()
    wait_until(lambda: any(b"the last one" in message for message in hop.messages()), "the last one is there")
    wait_until(lambda: len(hop.messages()) >= taken + 1, "all are there")
    wait_until(lambda: program.queue() == [], "the queue is empty")
    received = hop.messages()
    assert len(received) == taken + 1
    for message in received:
        assert b"\nSubject: smuggled" not in b"\n" + message.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    assert not program.told("message_accepted", sender="admin@remote.example")


def _has_bare(content: bytes) -> bool:
    rest = content.replace(b"\r\n", b"")
    return b"\r" in rest or b"\n" in rest


def test_what_comes_before_the_handshake_is_not_obeyed(make_program: MakeProgram) -> None:
    """RFC 3207 §4.2: commands pipelined behind STARTTLS, in the same packet, are dropped."""
    program = make_program({}).add("alice@example.org").start()
    for role in ("mx", "submission"):
        with socket.create_connection(("127.0.0.1", program.port(role)), timeout=PATIENCE) as plain:
            plain.recv(1000)
            plain.sendall(b"EHLO client.example\r\n")
            plain.recv(4000)
            plain.sendall(b"STARTTLS\r\nMAIL FROM:<injected@origin.example>\r\nRCPT TO:<alice@example.org>\r\n")
            assert plain.recv(1000).startswith(b"220")
            with program.trust.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
                secure.sendall(b"NOOP\r\n")
                assert secure.recv(1000).startswith(b"250 2.0.0"), "an injected command was answered inside TLS"
                secure.sendall(b"MAIL FROM:<x@origin.example>\r\n")
                assert secure.recv(1000).startswith(b"503"), "what was known before the handshake is forgotten"
    assert not [line for line in program.log() if "injected" in str(line)]


def test_pop3_drops_what_comes_before_the_handshake_too(make_program: MakeProgram) -> None:
    """RFC 2595 §4."""
    program = make_program({}).add("alice@example.org").start()
    with socket.create_connection(("127.0.0.1", program.port("pop3")), timeout=PATIENCE) as plain:
        plain.recv(1000)
        plain.sendall(b"STLS\r\nUSER injected@example.org\r\nPASS x\r\n")
        assert plain.recv(1000).startswith(b"+OK")
        with program.trust.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
            secure.sendall(b"NOOP\r\nCAPA\r\n")
            assert secure.recv(1000).startswith(b"-ERR"), "NOOP is not due before login, and nothing else was said"
    assert not program.told("login_failed")
