"""Postfix both ways on loopback: what one sends the other has, byte by byte."""

import os
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.postfix import Postfix, why_not
from tests.interop.shapes import CONTENTS
from tests.system.fixtures import MakeProgram
from tests.system.loop_thread import Nameserver
from tests.system.program import PATIENCE, Program, wait_until
from tests.system.setups import added_to, content

ALICE, BOB = "alice@example.org", "bob@example.org"
SOMEONE = "someone@remote.example"
pytestmark = [
    pytest.mark.needs("postfix"),
    pytest.mark.skipif(os.geteuid() != 0, reason="Postfix starts as root only"),
]


@pytest.fixture
def world(make_program: MakeProgram, nameserver: Nameserver, open_folder: Path) -> Iterator[tuple[Program, Postfix]]:
    """Postroom for example.org and Postfix for remote.example; each finds the other, and both speak TLS."""
    if why_not():
        pytest.skip(why_not())
    postfix = Postfix(open_folder / "postfix", domain="remote.example", accounts=("someone",), settings={})
    settings = {
        "dns": {"servers": [nameserver.address], "timeout": 5},
        "outbound": {"port": postfix.smtp_port, "allow_loopback": True},
        "queue": {"first_retry": 0.5, "poll": 0.2},
    }
    program = make_program(settings).add(ALICE, BOB).start()
    (open_folder / "tls.pem").write_bytes(
        (program.folder / "key.pem").read_bytes() + (program.folder / "certificate.pem").read_bytes()
    )
    postfix.set(
        transport_maps=f"inline:{{example.org=smtp:[127.0.0.1]:{program.port('mx')}}}",
        local_header_rewrite_clients="",  # loopback would count as a client whose header Postfix may complete
        smtpd_tls_chain_files=str(open_folder / "tls.pem"),
        smtpd_tls_security_level="may",
        smtp_tls_security_level="encrypt",
        smtp_tls_loglevel="1",
        maillog_file=str(open_folder / "maillog"),
        maillog_file_prefixes=str(open_folder),
    )
    postfix.start()
    try:
        yield program, postfix
    finally:
        postfix.stop()


def test_mail_from_postroom_arrives_at_postfix(world: tuple[Program, Postfix]) -> None:
    program, postfix = world
    with program.submission(ALICE) as client:
        for sent in CONTENTS.values():
            client.sendmail(ALICE, [SOMEONE], sent, mail_options=["BODY=8BITMIME"])
    wait_until(lambda: postfix.stored() == len(CONTENTS), "all are in the Maildir")
    received = [message.replace(b"\n", b"\r\n") for message in postfix.contents("someone")]
    for name, sent in CONTENTS.items():
        copies = [message for message in received if message.endswith(sent)]
        assert copies, f"{name} did not arrive as it was sent"
        assert b"with ESMTPSA" in added_to(copies[0], sent)
    wait_until(lambda: len(program.told("attempt_made", outcome="delivered")) == len(CONTENTS), "the log tells of all")
    assert all(line["tls"].startswith("TLS") for line in program.told("attempt_made"))


def test_mail_from_postfix_arrives_at_postroom(world: tuple[Program, Postfix]) -> None:
    program, postfix = world
    with smtplib.SMTP("127.0.0.1", postfix.smtp_port, "client.example", timeout=PATIENCE) as client:
        for sent in CONTENTS.values():
            client.sendmail("x@elsewhere.example", [BOB], sent, mail_options=["BODY=8BITMIME"])
    wait_until(lambda: len(program.told("message_accepted")) == len(CONTENTS), "all are accepted")
    received = program.inbox(BOB)
    assert len(received) == len(CONTENTS)
    for name, sent in CONTENTS.items():
        copies = [message for message in received if message.endswith(sent)]
        assert copies, f"{name} did not arrive as it was sent"
        added = added_to(copies[0], sent)
        assert added.count(b"Received: ") == 2  # Postfix's and ours
        assert b"Return-Path: <x@elsewhere.example>" in added
    assert all(line["tls"].startswith("TLS") for line in program.told("message_accepted"))


def test_content_without_a_final_newline(world: tuple[Program, Postfix]) -> None:
    """Possible by BDAT alone (RFC 3030); DATA on the next leg ends every line (RFC 5321 §4.1.1.4)."""
    program, postfix = world
    sent = b"Subject: no newline at the end\r\n\r\nthe end"
    with program.submission(ALICE) as client:
        client.mail(ALICE)
        client.rcpt(SOMEONE)
        client.rcpt(BOB)
        client.send(b"BDAT %d LAST\r\n" % len(sent) + sent)
        assert client.getreply()[0] == 250
    wait_until(lambda: postfix.stored() == 1, "it is in the Maildir")
    (there,) = postfix.contents("someone")
    added_to(there.replace(b"\n", b"\r\n").removesuffix(b"\r\n"), sent)
    (here,) = program.inbox(BOB)
    added_to(here.removesuffix(b"\r\n"), sent)


def test_what_postfix_refuses_comes_back(world: tuple[Program, Postfix]) -> None:
    program, _ = world
    with program.submission(ALICE) as client:
        client.sendmail(ALICE, ["nobody@remote.example"], content("unknown"), mail_options=["BODY=8BITMIME"])
    wait_until(lambda: bool(program.inbox(ALICE)), "the DSN is there")
    (dsn,) = program.inbox(ALICE)
    assert b"Action: failed" in dsn
    assert b"5.1.1" in dsn
    assert b"User unknown" in dsn


def test_what_postroom_refuses_goes_back_through_postfix(world: tuple[Program, Postfix]) -> None:
    """Postfix bounces what we refuse: the DSN comes in with the null sender and is in the inbox."""
    program, postfix = world
    with smtplib.SMTP("127.0.0.1", postfix.smtp_port, "client.example", timeout=PATIENCE) as client:
        client.sendmail(ALICE, ["nobody@example.org"], content("bounced"), mail_options=["BODY=8BITMIME"])
    wait_until(lambda: bool(program.inbox(ALICE)), "Postfix's DSN is there")
    (dsn,) = program.inbox(ALICE)
    assert b"Return-Path: <>" in dsn
    assert b"550 5.1.1" in dsn
    program.wait_told("recipient_refused", recipient="nobody@example.org")
