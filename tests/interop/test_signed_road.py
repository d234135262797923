"""A signature survives the road: what we sign still verifies behind Postfix and in Dovecot's mailboxes, whatever is in
the mail; and what opendkim signs and Postfix relays passes at our door.
"""

import os
import re
import smtplib
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from bench.milters import OpenDkim, use_milter
from bench.postfix import Postfix, why_not
from tests.fakes.dkim_signer import RSA
from tests.fakes.odd_mail import odd_message
from tests.interop.shapes import CONTENTS
from tests.interop.test_dovecot import BOB, Dovecot, dovecot
from tests.system.fixtures import MakeProgram
from tests.system.loop_thread import Nameserver
from tests.system.program import HOSTNAME, PATIENCE, wait_until
from tests.system.setups import by_mx
from tests.system.signatures import activate_all, publish, read_zone, verified
from tests.system.sink import Sink

from postroom.mailauth.dkim.signingkey import Algorithm, SigningKey, key_record, write_key
from postroom.mailauth.keys.record import zone_text

__all__ = ["dovecot"]

ALICE, AFAR = "alice@example.org", "someone@behind.example"
ORIGIN, AUTHOR = "origin.example", b"ann@origin.example"
UTF8 = {"non-ascii"}
"""Sent as SMTPUTF8 (RFC 6531); other octets beyond ASCII in header fields are sent as they are, as many do."""
pytestmark = [
    pytest.mark.needs("postfix", "dovecot", "lmtp"),
    pytest.mark.skipif(os.geteuid() != 0, reason="Postfix and Dovecot start as root only"),
]


def letter(*fields: bytes, body: bytes = b"text\r\n") -> bytes:
    """Alice's mail with these fields, whole lines or several without the last CRLF."""
    return b"\r\n".join([b"From: Alice <alice@example.org>", *fields]) + b"\r\n\r\n" + body


SHAPES = {
    **CONTENTS,
    "folded": letter(b"To: a@example.net,\r\n\tb@example.net,\r\n   c@example.net", b"Subject:\r\n a\r\n b"),
    "folded-references": letter(b"References: " + b"\r\n ".join(b"<%d@example.net>" % n for n in range(100))),
    "odd-space": letter(b"subject:  a \t b  ", b"TO:\tx@example.net\t", b"X-Empty:", b"X-Blank: \t "),
    "no-space-after-colon": letter(b"Subject:tight", b"To:x@example.net"),
    "no-body-no-date": letter(b"Subject: nothing", body=b""),
    "only-blank-lines": letter(b"Subject: blank", body=b"\r\n" * 5),
    "only-space": letter(b"Subject: blank", body=b" \r\n\t\r\n \t \r\n"),
    "no-final-crlf": letter(b"Subject: open end", body=b"one\r\ntwo"),
    "no-final-crlf-space": letter(b"Subject: open end", body=b"one\r\ntwo \t"),
    "one-dot-open": letter(b"Subject: dot", body=b"."),
    "dots": letter(b"Subject: dots", body=b".\r\n..\r\n.QUIT\r\n\r\n.\r\n"),
    "trailing": letter(b"Subject: trailing", body=b"text  \t \r\n   \r\n\r\n \r\n\r\n"),
    "8-bit": letter(b"Subject: 8-bit", body="größer\r\n".encode() + b"\x80\xff\xa0 \xa0\r\n"),
    "8-bit-header": letter(b"Subject: caf\xe9 in Latin-1", "X-Odd: größer".encode()),
    "non-ascii": letter("Subject: größer, 日本語  ".encode(), "To: Jürgen <x@example.net>".encode()),
    "longest-line": letter(b"Subject: long", body=(b"y" * 998 + b"\r\n") * 3 + b"." + b"z" * 996 + b"\r\n"),
    "longest-field": letter(b"Subject: long", b"X-Long: " + b"x" * 990),
    "many-fields": letter(*[b"X-Odd-%d: %d" % (n, n) for n in range(300)]),
    "twice": letter(b"Subject: one", b"Subject: two", b"Comments: a", b"Comments: b"),
    "encoded-words": letter(b"Subject: =?utf-8?q?gr=C3=B6=C3=9Fer?=\r\n =?utf-8?b?w7zDtsOk?="),
    "received-before": letter(b"Received: from x by y; Thu, 26 Nov 2026 10:00:00 +0000", b"Subject: on its way"),
    "marked": letter(
        b"Return-Path: <x@example.net>",
        b"Bcc: secret@example.net",
        b"Content-Length: 4",
        b"Resent-Bcc: x@example.net",
        b"Subject: drop",
    ),
    "from-line": letter(b"Subject: mbox", body=b"From the line\r\n>From quoted\r\nFrom: like a field\r\n"),
    "attachment": letter(
        b"MIME-Version: 1.0",
        b'Content-Type: multipart/mixed;\r\n\tboundary="=_b"',
        b"Subject: attachment",
        body=b"--=_b\r\n\r\nsee there\r\n--=_b\r\nContent-Type: application/octet-stream\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + (b"QUJD" * 19 + b"\r\n") * 6000 + b"--=_b--\r\n",
    ),
}


def generated(count: int) -> dict[str, bytes]:
    """So many odd messages whose lines are short enough for Postfix to leave them whole (RFC 5321 §4.5.3.1.6)."""
    found: dict[str, bytes] = {}
    for seed in range(count * 20):
        message = odd_message(Random(seed))
        if len(found) < count and max(map(len, message.split(b"\r\n"))) <= 998:
            found[f"odd-{seed}"] = message
    return found


def named(name: str, message: bytes) -> bytes:
    """With a field to find it by, however it comes."""
    return b"X-Name: %s\r\n" % name.encode() + message


def by_name(messages: list[bytes]) -> dict[str, bytes]:
    return {message.partition(b"X-Name: ")[2].partition(b"\r\n")[0].decode(): message for message in messages}


def hand_in(client: smtplib.SMTP, message: bytes, *recipients: str) -> None:
    """By BDAT in pieces, so that nothing is added at the end; with SMTPUTF8, but not to Dovecot, which lacks it."""
    client.mail(ALICE, ["BODY=8BITMIME", *(["SMTPUTF8"] if BOB not in recipients else [])])
    for recipient in recipients:
        assert client.rcpt(recipient)[0] == 250
    pieces = [message[at : at + 50_000] for at in range(0, len(message), 50_000)]
    for piece in pieces[:-1]:
        client.send(b"BDAT %d\r\n" % len(piece) + piece)
        assert client.getreply()[0] == 250
    client.send(b"BDAT %d LAST\r\n" % len(pieces[-1]) + pieces[-1])
    assert client.getreply()[0] == 250


def relaying(folder: Path, domain: str, port: int) -> Postfix:
    """A Postfix that passes mail for the domain on to the port."""
    if why_not():
        pytest.skip(why_not())
    postfix = Postfix(folder / "postfix", domain="unused.example", accounts=(), settings={})
    postfix.set(
        transport_maps=f"inline:{{{domain}=smtp:[127.0.0.1]:{port}}}",
        local_header_rewrite_clients="",  # loopback would count as a client whose header Postfix may complete
    )
    return postfix


@pytest.fixture
def postfix(open_folder: Path, sink: Sink) -> Iterator[Postfix]:
    server = relaying(open_folder, "behind.example", sink.port)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def test_what_we_sign_verifies_behind_postfix_and_in_dovecot(
    make_program: MakeProgram, nameserver: Nameserver, sink: Sink, postfix: Postfix, dovecot: Dovecot
) -> None:
    hops = [
        {"name": "dovecot", "host": "127.0.0.1", "port": dovecot.port, "protocol": "lmtp", "tls": "none"},
        {"name": "postfix", "host": "127.0.0.1", "port": postfix.smtp_port, "tls": "none"},
    ]
    routes = [
        {"domains": ["delivered.example"], "via": "dovecot"},
        {"domains": ["behind.example"], "via": "postfix"},
    ]
    program = make_program({**by_mx(nameserver, sink), "smarthost": hops, "route": routes}).add(ALICE)
    shown = program.command("dkim", "show", "example.org")
    publish(nameserver, shown)
    program.command("dkim", "check")
    activate_all(program, "example.org")
    program.start()
    shapes = {**SHAPES, **generated(25)}
    with program.submission(ALICE) as client:
        for name, message in shapes.items():
            hand_in(client, named(name, message), AFAR, *([BOB] if name not in UTF8 else []))
    wait_until(lambda: len(sink.arrived) == len(shapes), "all came through Postfix", 2 * PATIENCE)
    wait_until(lambda: len(dovecot.messages()) == len(shapes) - len(UTF8), "the others are in the Maildir")
    afar = by_name([arrived.content for arrived in sink.arrived])
    here = by_name([message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for message in dovecot.messages()])
    assert afar.keys() == shapes.keys()
    assert here.keys() == shapes.keys() - UTF8
    records = read_zone(shown)
    # the first two are ours; below them may stand what the author's program wrote
    broken = {
        (name, where): found
        for where, messages in (("postfix", afar), ("dovecot", here))
        for name, message in messages.items()
        if (found := verified(message, records))[:2] != [True, True]
    }
    assert not broken
    changed = afar["8-bit"].replace("größer".encode(), b"smaller")
    assert verified(changed, records) == [False, False]


@pytest.mark.needs("opendkim")
def test_what_opendkim_signs_passes_at_our_door(
    make_program: MakeProgram, nameserver: Nameserver, open_folder: Path
) -> None:
    key = SigningKey(ORIGIN, "s1", Algorithm.RSA, RSA)
    nameserver.zone.add(key.name, "TXT", zone_text(key_record(key)))
    nameserver.zone.add(f"_dmarc.{ORIGIN}", "TXT", '"v=DMARC1; p=reject"')
    checking = {"dns": {"servers": [nameserver.address], "timeout": 5}, "mailauth": {"exempt_networks": []}}
    program = make_program(checking).add(ALICE).start()
    postfix = relaying(open_folder, "example.org", program.port("mx"))
    milter = OpenDkim(open_folder / "opendkim")
    milter.sign(ORIGIN, "s1", write_key(RSA))
    use_milter(postfix, milter)
    shapes = {
        name: re.sub(rb"\w+@example\.org", AUTHOR, message)
        for name, message in {**SHAPES, **generated(15)}.items()
        if re.search(rb"^from:", message, re.IGNORECASE | re.MULTILINE) and name != "signed"
    }
    postfix.start()
    try:
        with smtplib.SMTP("127.0.0.1", postfix.smtp_port, "client.example", timeout=PATIENCE) as client:
            for name, message in shapes.items():
                client.sendmail(AUTHOR.decode(), [ALICE], named(name, message), mail_options=["BODY=8BITMIME"])
        wait_until(lambda: len(program.told("message_accepted")) == len(shapes), "all are accepted", 2 * PATIENCE)
    finally:
        postfix.stop()
    received = by_name(program.inbox(ALICE))
    assert received.keys() == shapes.keys()
    results = {name: results_of(message) for name, message in received.items()}
    assert {name: found for name, found in results.items() if "dkim=pass" not in found} == {}
    assert all("header.d=origin.example" in found and "dmarc=pass" in found for found in results.values())


def results_of(message: bytes) -> str:
    """What our own Authentication-Results field says."""
    header, _, _ = message.partition(b"\r\n\r\n")
    (found,) = re.findall(rb"^Authentication-Results: (.*?)\r\n(?=\S)", header, re.DOTALL | re.MULTILINE)
    text: str = found.decode()
    assert text.startswith(HOSTNAME)
    return text
