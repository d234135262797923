"""The world itself is as its map says: its zones, and that its sites notice who does not keep their rules."""

import smtplib
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import dns.flags
import dns.rcode
import pytest
from tests.system.program import PATIENCE, wait_until
from tests.world import atlas
from tests.world.atlas import LAME, PLAIN, SIGNED
from tests.world.ground import Ground, standing, why_not
from tests.world.record import measure

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())
Connect = Callable[[str], smtplib.SMTP]


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """A world."""
    with standing(tmp_path / "world") as ground:
        yield ground


@pytest.fixture
def connect(ground: Ground) -> Iterator[Connect]:
    """Connections to the first host of a site; closed in the end."""
    with ExitStack() as stack:

        def connect(site: str) -> smtplib.SMTP:
            address = ground.world.address(ground.world.sites[site].hosts[0])
            client = smtplib.SMTP(address, ground.world.port, "client.example", timeout=PATIENCE)
            stack.callback(client.close)
            client.ehlo()
            return client

        yield connect


def broken(ground: Ground) -> list[str]:
    """The rules that were not kept, as the sites measured it."""
    record, _ = ground.end()
    sites = ground.world.sites
    return [words for one in measure(record, sites.values()) for words in one.breaks(sites[one.site])]


def test_what_the_resolver_vouches_for(ground: Ground) -> None:
    port = ground.world.port
    for name, kind, code, authentic in (
        (f"fast4.{SIGNED}", "MX", dns.rcode.NOERROR, True),
        (f"fast1.{PLAIN}", "MX", dns.rcode.NOERROR, False),
        (f"_{port}._tcp.mx.dane-key.{SIGNED}", "TLSA", dns.rcode.NOERROR, True),
        (f"_{port}._tcp.mx.dane-plain.{PLAIN}", "TLSA", dns.rcode.NOERROR, False),
        (f"_{port}._tcp.mx.dane-bogus.{SIGNED}", "TLSA", dns.rcode.SERVFAIL, False),
        (f"mx.dane-bogus.{SIGNED}", "A", dns.rcode.NOERROR, True),
        (f"_{port}._tcp.mx.dane-unheard.{SIGNED}", "TLSA", dns.rcode.NXDOMAIN, True),
        (f"bogus.{SIGNED}", "MX", dns.rcode.SERVFAIL, False),
        (f"somewhere.{LAME}", "MX", dns.rcode.SERVFAIL, False),
        ("nosuch.example", "MX", dns.rcode.NXDOMAIN, True),
        (f"_mta-sts.sts-good.{PLAIN}", "TXT", dns.rcode.NOERROR, False),
    ):
        answer = ground.unbound.ask(name, kind)
        assert (name, answer.rcode(), bool(answer.flags & dns.flags.AD)) == (name, code, authentic)


def test_one_connection_too_many_is_noticed(ground: Ground, connect: Connect) -> None:
    for _ in range(atlas.CONNECTIONS):
        connect("narrow")
    with pytest.raises(smtplib.SMTPConnectError) as refused:
        connect("narrow")
    assert refused.value.smtp_code == 421
    assert broken(ground) == ["narrow, 127.0.0.1: 4 connections at once, 3 allowed (1 refusals)"]


def test_one_message_too_many_is_noticed(ground: Ground, connect: Connect) -> None:
    client = connect("twenty")
    recipient = f"someone.1@twenty1.{PLAIN}"
    for _ in range(atlas.MESSAGES_PER_CONNECTION):
        client.sendmail("ann@sender.example", [recipient], b"Subject: one more\r\n\r\n")
    assert client.docmd("MAIL", "FROM:<ann@sender.example>")[0] == 421
    assert broken(ground) == ["twenty, 127.0.0.1: 21 messages on a connection, 20 allowed (1 refusals)"]


def test_messages_too_fast_are_noticed(ground: Ground, connect: Connect) -> None:
    client = connect("rated")
    rate = ground.world.sites["rated"].manner.rules.rate
    assert rate is not None
    for _ in range(rate.count):
        assert client.mail("ann@sender.example")[0] == 250
        client.rset()
    assert client.mail("ann@sender.example")[0] == 450
    (words,) = broken(ground)
    assert words.startswith(f"rated, 127.0.0.1: {rate.count + 1} messages in 10 s, {rate.count} allowed")


def test_a_greylist_lets_in_who_comes_again(connect: Connect) -> None:
    client = connect("grey")
    client.mail("ann@sender.example")
    recipient = f"someone.1@grey1.{PLAIN}"
    code, text = client.rcpt(recipient)
    assert code == 450
    assert b"greylisted" in text
    wait_until(lambda: client.rcpt(recipient)[0] == 250, "it is let in")


def test_a_reply_is_lost_once(ground: Ground, connect: Connect) -> None:
    content = b"Message-ID: <lost@sender.example>\r\n\r\n"
    recipient = f"someone.1@closes.{PLAIN}"
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
        connect("closes").sendmail("ann@sender.example", [recipient], content)
    connect("closes").sendmail("ann@sender.example", [recipient], content)
    record, _ = ground.end()
    assert record.arrived() == {("lost@sender.example", recipient): 2}
    assert record.lost() == {("lost@sender.example", recipient)}


def test_dead_hosts(ground: Ground, connect: Connect) -> None:
    with pytest.raises(ConnectionRefusedError):
        connect("dead")
    silent = ground.world.address(ground.world.sites["silent"].hosts[0])
    with pytest.raises(TimeoutError):
        socket.create_connection((silent, ground.world.port), timeout=1).close()
