"""Exim and OpenSMTPD both ways on loopback: what one sends the other has, byte by byte."""

import os
import smtplib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.interop.hops import DOMAIN, SOMEONE, EximHop
from tests.interop.opensmtpd import OpenSmtpd
from tests.interop.shapes import CONTENTS
from tests.system.fixtures import MakeProgram
from tests.system.program import PATIENCE, Program, wait_until
from tests.system.setups import added_to

ALICE, BOB = "alice@example.org", "bob@example.org"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="they start as root only")

Peer = EximHop | OpenSmtpd


def exim(folder: Path) -> Peer:
    return EximHop(folder, onward="example.org")


def opensmtpd(folder: Path) -> Peer:
    return OpenSmtpd(folder, domain=DOMAIN, onward="example.org")


PEERS = [
    pytest.param(exim, marks=pytest.mark.needs("exim4"), id="exim"),
    pytest.param(opensmtpd, marks=pytest.mark.needs("opensmtpd", "unshare"), id="opensmtpd"),
]
Make = Callable[[Callable[[Path], Peer]], tuple[Program, Peer]]


@pytest.fixture
def make(make_program: MakeProgram, open_folder: Path) -> Iterator[Make]:
    """Postroom for example.org and a peer for remote.example; each finds the other."""
    peers: list[Peer] = []

    def begin(kind: Callable[[Path], Peer]) -> tuple[Program, Peer]:
        peer = kind(open_folder / "peer")
        peers.append(peer)
        settings = {
            "smarthost": [{"name": "peer", "host": peer.host, "port": peer.port, "tls": "none"}],
            "route": [{"domains": [DOMAIN], "via": "peer"}],
            "queue": {"first_retry": 0.5, "poll": 0.2},
        }
        program = make_program(settings).add(ALICE, BOB).start()
        peer.onward_port = program.port("mx")
        peer.start()
        return program, peer

    yield begin
    for peer in peers:
        peer.stop()


@pytest.mark.parametrize("kind", PEERS)
def test_mail_from_postroom_arrives(make: Make, kind: Callable[[Path], Peer]) -> None:
    program, peer = make(kind)
    with program.submission(ALICE) as client:
        for sent in CONTENTS.values():
            client.sendmail(ALICE, [SOMEONE], sent, mail_options=["BODY=8BITMIME"])
    wait_until(lambda: len(peer.messages()) == len(CONTENTS), "all are in the Maildir")
    received = [message.replace(b"\n", b"\r\n") for message in peer.messages()]
    for name, sent in CONTENTS.items():
        copies = [message for message in received if message.endswith(sent)]
        assert copies, f"{name} did not arrive as it was sent"
        assert b"with ESMTPSA" in added_to(copies[0], sent)


@pytest.mark.parametrize("kind", PEERS)
def test_mail_to_postroom_arrives(make: Make, kind: Callable[[Path], Peer]) -> None:
    program, peer = make(kind)
    with smtplib.SMTP(peer.host, peer.port, "client.example", timeout=PATIENCE) as client:
        for sent in CONTENTS.values():
            client.sendmail("x@elsewhere.example", [BOB], sent, mail_options=["BODY=8BITMIME"])
    wait_until(lambda: len(program.told("message_accepted")) == len(CONTENTS), "all are accepted")
    received = program.inbox(BOB)
    for name, sent in CONTENTS.items():
        copies = [message for message in received if message.endswith(sent)]
        assert copies, f"{name} did not arrive as it was sent"
        added = added_to(copies[0], sent)
        assert added.count(b"Received: ") == 2  # the peer's and ours
        assert b"Return-Path: <x@elsewhere.example>" in added
