"""Header fields chosen and in canonical form (RFC 6376 §3.4.1, §3.4.2, §3.7, §5.4.2)."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.dkim_signer import relaxed_field

from postroom.mail.headers import split_header
from postroom.mailauth.dkim.header import SignedHeader, relax_field, without_value


def header_of(text: bytes) -> SignedHeader:
    return SignedHeader(text, split_header(text).fields)


@pytest.mark.parametrize(
    ("field", "relaxed"),
    [
        (b"A: X\r\n", b"a:X\r\n"),
        (b"B : Y\t\r\n\tZ  \r\n", b"b:Y Z\r\n"),
        (b"SUBJect: AbC\r\n", b"subject:AbC\r\n"),
        (b"Subject:\r\n", b"subject:\r\n"),
        (b"Subject: \t \r\n", b"subject:\r\n"),
        (b"Subject:a\r\n \r\n\tb \r\n", b"subject:a b\r\n"),
        (b"Subject:\r\n a:b\r\n", b"subject:a:b\r\n"),
        (b"Subject: \xe4\xff \x00 b\r\n", b"subject:\xe4\xff \x00 b\r\n"),
        (b"Subject: a\x0b\x0c b\r\n", b"subject:a\x0b\x0c b\r\n"),
    ],
)
def test_relaxed_fields(field: bytes, relaxed: bytes) -> None:
    """RFC 6376 §3.4.2 and the examples of §3.4.5."""
    assert header_of(field).relaxed(0) == relaxed
    assert relaxed_field(field) == relaxed


@given(st.lists(st.sampled_from([b" ", b"\t", b"  ", b"\r\n ", b"\r\n\t", b"a", b"B", b":", b"\xff"]), max_size=30))
def test_any_field_is_relaxed_as_the_standard_says(parts: list[bytes]) -> None:
    value = b"".join(parts)
    assert relax_field(b"NaMe", value) + b"\r\n" == relaxed_field(b"NaMe:" + value + b"\r\n")


def test_simple_fields_stay_as_they_are() -> None:
    """RFC 6376 §3.4.1 and the examples of §3.4.5; each ends with a CRLF (§3.7), also where the header just stops."""
    text = b"A: X\r\nB : Y\t\r\n\tZ  \r\nC:d"
    header = header_of(text)
    assert [header.simple(place) for place in range(3)] == [b"A: X\r\n", b"B : Y\t\r\n\tZ  \r\n", b"C:d\r\n"]


def test_fields_are_chosen_from_the_bottom() -> None:
    """RFC 6376 §5.4.2 and its example; names are compared in any case, and there may be more than fields (§3.5 h=)."""
    text = b"Received: <A>\r\nreceived: <B>\r\nX: y\r\nRECEIVED: <C>\r\nS: b=\r\n"
    header = header_of(text)
    signature = header.fields[4]
    names = [b"received", b"x", b"received", b"x", b"nothing"]
    wanted = b"received:<C>\r\nx:y\r\nreceived:<B>\r\ns:b="
    assert header.digest(names, signature, relaxed=True, place=4) == sha256(wanted).digest()
    simple = b"RECEIVED: <C>\r\nX: y\r\nreceived: <B>\r\nS: b="
    assert header.digest(names, signature, relaxed=False, place=4) == sha256(simple).digest()


def test_a_signature_never_signs_itself_by_name() -> None:
    """RFC 6376 §3.5 h=, §3.7: it comes last, without its value; others of its name are fields like any other."""
    text = b"S: b=1; n=x\r\nS: b=2\r\nS: b=3\r\n"
    header = header_of(text)
    wanted = b"s:b=3\r\ns:b=1; n=x\r\ns:b="
    assert header.digest([b"s"] * 3, header.fields[1], relaxed=True, place=1) == sha256(wanted).digest()


@pytest.mark.parametrize(
    ("value", "without"),
    [
        (b" v=1; b=abc; d=x", b" v=1; b=; d=x"),
        (b"b=abc", b"b="),
        (b" b = a\r\n b c \r\n ; d=x", b" b =; d=x"),
        (b" v=1; b=abc=\r\n def== ", b" v=1; b="),
        (b" v=1;\r\n\tb\r\n =\r\n\tabc", b" v=1;\r\n\tb\r\n ="),
        (b" bh=abc; b=def; bb=ghi", b" bh=abc; b=; bb=ghi"),
        (b" z=From:b=40x|b=20; b=def", b" z=From:b=40x|b=20; b="),
        (b" v=1", b" v=1"),
    ],
)
def test_the_value_of_b_is_taken_out_and_nothing_else(value: bytes, without: bytes) -> None:
    """RFC 6376 §3.7: including all surrounding white space."""
    assert without_value(value) == without
