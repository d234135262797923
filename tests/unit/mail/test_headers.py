"""The header read from raw bytes (RFC 5322 §2.2, §3.6)."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.mail.headers import field_values, find_body, find_field, glance, show_date, split_header, unfold

MESSAGE = (
    b"Received: from a.example by b.example;\r\n Mon, 1 Jan 2024 00:00:00 +0000\r\n"
    b"RECEIVED: from c.example by a.example\r\n"
    b"From: Ann <ann@a.example>\r\n"
    b"Subject: received: is only a word here\r\n\tand here\r\n"
    b"message-Id:\r\n <1@a.example>\r\n"
    b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
    b"\r\n"
    b"Received: not a field\r\nMessage-ID: <2@a.example>\r\n"
)


def test_glance_counts_and_finds() -> None:
    found = glance(MESSAGE)
    assert found.received == 2
    assert found.message_id == "<1@a.example>"
    assert found.has_date
    assert MESSAGE[found.header_size :].startswith(b"\r\nReceived: not")


@pytest.mark.parametrize(
    ("content", "message_id"),
    [
        (b"Message-ID: <a@b>\r\n\r\n", "<a@b>"),
        (b"Message-ID: <a@b>", "<a@b>"),
        (b"MESSAGE-ID:<a@b>\r\n", "<a@b>"),
        (b"X: y\r\nMessage-ID: (comment) <a@b> trailing\r\n\r\n", "<a@b>"),
        (b"Message-ID: none\r\n\r\n", ""),
        (b"Message-ID: \r\nReferences: <other@b>\r\n\r\n", ""),
        (b"Message-ID: <unclosed\r\nX: y>\r\n\r\n", ""),
        (b"Message-ID: <" + b"x" * 300 + b"@b>\r\n\r\n", ""),
        (b"\r\nMessage-ID: <body@b>\r\n", ""),
        (b"", ""),
        ("Message-ID: <ü@b>\r\n\r\n".encode(), "<ü@b>"),
        (b"Message-ID: <\xff@b>\r\n\r\n", "<\ufffd@b>"),
    ],
)
def test_message_id(content: bytes, message_id: str) -> None:
    assert glance(content).message_id == message_id


@pytest.mark.parametrize(
    ("content", "fields_end", "body"),
    [
        (b"A: 1\r\n\r\nbody", 6, 8),
        (b"\r\nbody only", 0, 2),
        (b"A: 1\r\nB: 2\r\n", 12, 12),
        (b"A: 1", 4, 4),
        (b"", 0, 0),
    ],
)
def test_body_begins_after_the_empty_line(content: bytes, fields_end: int, body: int) -> None:
    assert find_body(content) == (fields_end, body)


def test_split_keeps_every_octet() -> None:
    header = split_header(MESSAGE)
    assert [field.name for field in header.fields] == [
        b"Received",
        b"RECEIVED",
        b"From",
        b"Subject",
        b"message-Id",
        b"Date",
    ]
    assert b"".join(MESSAGE[field.start : field.end] for field in header.fields) == MESSAGE[: header.end]
    assert MESSAGE[header.body :].startswith(b"Received: not a field")
    subject = header.first(b"subject")
    assert subject is not None
    assert subject.value == b" received: is only a word here\r\n\tand here"
    assert subject.text == "received: is only a word here\tand here"
    assert len(header.all(b"Received")) == 2
    assert header.first(b"To") is None


def test_header_ends_where_no_field_is() -> None:
    content = b"A: 1\r\nno field at all\r\nB: 2\r\n\r\nbody"
    header = split_header(content)
    assert [field.name for field in header.fields] == [b"A"]
    assert content[header.body :].startswith(b"no field at all")


def test_white_space_before_the_colon_is_obsolete_and_understood() -> None:
    # RFC 5322 §4.5
    header = split_header(b"Subject : old\r\n\r\n")
    assert [(field.name, field.text) for field in header.fields] == [(b"Subject", "old")]


def test_last_field_without_line_end() -> None:
    (field,) = split_header(b"A: 1").fields
    assert (field.value, field.end) == (b" 1", 4)


def test_find_field_unfolds() -> None:
    assert find_field(MESSAGE, b"Message-ID") == "<1@a.example>"
    assert find_field(MESSAGE, b"From") == "Ann <ann@a.example>"
    assert find_field(MESSAGE, b"To") is None


def test_the_values_of_one_name() -> None:
    header = MESSAGE[: find_body(MESSAGE)[0]]
    assert field_values(header, b"Message-ID") == (b"\r\n <1@a.example>",)
    assert len(field_values(header, b"received")) == 2
    assert field_values(header, b"To") == field_values(b"", b"To") == field_values(b" To: a\r\n", b"to") == ()
    assert field_values(b"To : a\r\nTo-Do: b\r\n\tTo: c\r\nTO:d", b"to") == (b" a", b"d")
    assert field_values(b"A: 1\r\nno field\r\nA: 2\r\n\r\n", b"a") == (b" 1",)
    assert field_values(b"no field\r\nA: 2\r\n", b"a") == ()


def test_unfold() -> None:
    # RFC 5322 §2.2.3
    assert unfold(b" a\r\n\tb\n c \r\n") == "a\tb c"
    assert unfold(b"\xff\xfe") == "\ufffd\ufffd"


def test_date_is_written_as_rfc5322_asks() -> None:
    # RFC 5322 §3.3
    assert show_date(0) == "Thu, 1 Jan 1970 00:00:00 +0000"
    assert show_date(1_709_210_096.9) == "Thu, 29 Feb 2024 12:34:56 +0000"


def test_a_value_ends_at_the_first_line_end_that_no_white_space_follows() -> None:
    """Whatever it is made of."""
    for octets in itertools.product(b"\r\n a", repeat=6):
        value = bytes(octets)
        wanted = re.split(rb"\r\n(?! )", value, maxsplit=1)[0]
        found = split_header(b"A:" + value + b"\r\nB:").fields
        assert found[0].value == wanted, value


@given(st.binary(max_size=300) | st.text("aA:\r\n \t", max_size=200).map(str.encode))
def test_any_octets_are_accepted(content: bytes) -> None:
    header = split_header(content)
    assert 0 <= header.end <= header.body <= len(content)
    assert b"".join(content[field.start : field.end] for field in header.fields) == content[: header.end]
    glance(content)
    find_field(content, b"a")
    for name in (b"a", b"aa"):
        assert field_values(content[: find_body(content)[0]], name) == tuple(
            [field.value for field in header.all(name)]
        )
