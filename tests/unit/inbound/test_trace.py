"""The Received field is right, folded, and safe whatever a client calls itself."""

import re

import pytest

from postroom.inbound.trace import Tracer
from postroom.mail.address import Address
from postroom.mail.envelope import Envelope, Recipient
from postroom.mail.headers import glance, split_header
from postroom.mail.message import QueueId, show_queue_id
from postroom.mail.session import Client, Role, TlsFacts

NOW = 1_800_000_000.7
ID = QueueId(0x0123456789ABCDEF)
BOB = Recipient(Address.parse("bob@local.example"))
ONE = Envelope(None, (BOB,))


def client(**changes: object) -> Client:
    facts: dict[str, object] = {"address": "192.0.2.1", "helo": "client.example", "esmtp": True, **changes}
    return Client(1, port=4711, **{"role": Role.MX, **facts})  # type: ignore[arg-type] # each test changes another one


def test_all_parts_are_there() -> None:
    field = Tracer("mx.local.example").received(client(), ID, ONE, NOW)
    assert field.decode() == (
        "Received: from client.example ([192.0.2.1])\r\n"
        "\tby mx.local.example with ESMTP\r\n"
        f"\tid {show_queue_id(ID)}\r\n"
        "\tfor <bob@local.example>;\r\n"
        "\tFri, 15 Jan 2027 08:00:00 +0000\r\n"
    )


@pytest.mark.parametrize(
    ("changes", "smtputf8", "word"),
    [
        ({"esmtp": False}, False, "with SMTP\r\n"),
        ({"tls": TlsFacts("TLSv1.3", "AES")}, False, "with ESMTPS (TLSv1.3 AES)\r\n"),
        ({"tls": TlsFacts("TLSv1.3", "AES"), "account": "a@b.example"}, False, "with ESMTPSA (TLSv1.3 AES)\r\n"),
        ({}, True, "with UTF8SMTP\r\n"),
        ({"tls": TlsFacts("TLSv1.2", "X")}, True, "with UTF8SMTPS (TLSv1.2 X)\r\n"),
        ({"account": "a@b.example"}, True, "with UTF8SMTPA\r\n"),
        ({"tls": TlsFacts("TLSv1.2", "X"), "account": "a@b.example"}, True, "with UTF8SMTPSA (TLSv1.2 X)\r\n"),
        ({"esmtp": False}, True, "with UTF8SMTP\r\n"),
        ({"role": Role.LMTP}, False, "with LMTP\r\n"),
        ({"role": Role.LMTP, "tls": TlsFacts("TLSv1.3", "AES")}, False, "with LMTPS (TLSv1.3 AES)\r\n"),
        ({"role": Role.LMTP}, True, "with UTF8LMTP\r\n"),
        ({"role": Role.LMTP, "tls": TlsFacts("TLSv1.3", "AES")}, True, "with UTF8LMTPS (TLSv1.3 AES)\r\n"),
    ],
)
def test_the_protocol_has_its_registered_word(changes: dict[str, object], smtputf8: bool, word: str) -> None:
    """RFC 3848 §1, RFC 6531 §4.3."""
    envelope = Envelope(None, (BOB,), smtputf8=smtputf8)
    assert word in Tracer("mx.local.example").received(client(**changes), ID, envelope, NOW).decode()


@pytest.mark.parametrize("recipients", [(BOB,), (BOB, BOB)])
def test_a_priority_is_noted(recipients: tuple[Recipient, ...]) -> None:
    """RFC 6710 §7: behind all other clauses."""
    field = Tracer("mx.local.example").received(client(), ID, Envelope(None, recipients, priority=-3), NOW)
    assert b"\r\n\tPRIORITY -3;\r\n\tFri, 15 Jan" in field


def test_several_recipients_are_not_told_of_each_other() -> None:
    envelope = Envelope(None, (BOB, Recipient(Address.parse("secret@local.example"))))
    field = Tracer("mx.local.example").received(client(), ID, envelope, NOW)
    assert b"for" not in field
    assert b"secret" not in field


def test_ipv6_is_tagged() -> None:
    field = Tracer("mx.local.example").received(client(address="2001:db8::1"), ID, ONE, NOW)
    assert b"([IPv6:2001:db8::1])" in field


@pytest.mark.parametrize(
    "helo",
    [
        "a (b) c",
        "x\r\nBcc: evil@example.org",
        'q"u"o',
        "a;b",
        "<x@y>",
        "\x00\x7f",
        "é.example",
        "x" * 5000,
        "",
        "by z with w",
    ],
)
def test_no_name_breaks_out_of_the_field(helo: str) -> None:
    field = Tracer("mx.local.example").received(client(helo=helo), ID, ONE, NOW)
    header = split_header(field + b"\r\n")
    assert len(header.fields) == 1
    assert header.end == len(field)
    shown = field.split(b" ([192.0.2.1])")[0]
    assert re.fullmatch(rb"Received: from [A-Za-z0-9._:\[\]?-]+", shown)
    assert all(len(line) <= 998 for line in field.split(b"\r\n"))


def test_a_recipient_beyond_ascii_is_written_in_utf8() -> None:
    envelope = Envelope(None, (Recipient(Address.parse("jürgen@local.example")),), smtputf8=True)
    assert "for <jürgen@local.example>".encode() in Tracer("mx.local.example").received(client(), ID, envelope, NOW)


def test_the_date_moves_on() -> None:
    tracer = Tracer("mx.local.example")
    assert tracer.date(NOW) == tracer.date(NOW + 0.2)
    assert tracer.date(NOW + 1) == "Fri, 15 Jan 2027 08:00:01 +0000"
    assert tracer.date(NOW) == "Fri, 15 Jan 2027 08:00:00 +0000"


@pytest.mark.parametrize(
    ("start", "fields"),
    [
        (b"Date: x\r\nMessage-ID: <a@b>\r\n\r\n", []),
        (b"Message-ID: <a@b>\r\n\r\n", [b"Date"]),
        (b"date: x\r\n\r\nMessage-ID: <a@b>\r\n", [b"Message-ID"]),
        (b"Date: x\r\nMessage-ID: malformed\r\n\r\n", []),
        (b"", [b"Date", b"Message-ID"]),
    ],
)
def test_submission_adds_what_is_missing(start: bytes, fields: list[bytes]) -> None:
    added, message_id = Tracer("mx.local.example").completed(glance(start), start, ID, NOW)
    assert [field.name for field in split_header(added).fields] == fields
    if b"Message-ID" in fields:
        assert message_id == f"<{show_queue_id(ID)}@mx.local.example>"
        assert message_id.encode() in added
    else:
        assert message_id == glance(start).message_id
