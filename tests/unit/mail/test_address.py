"""Addresses of RFC 5321 §4.1.2 and RFC 6531 §3.3: read, kept without quoting, written with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.mail.address import Address


@pytest.mark.parametrize(
    ("written", "local", "domain"),
    [
        ("a@example.org", "a", "example.org"),
        ("A.Person@Example.ORG", "A.Person", "example.org"),
        ("!#$%&'*+-/=?^_`{|}~@x", "!#$%&'*+-/=?^_`{|}~", "x"),
        ("user+tag@x.example", "user+tag", "x.example"),
        ('"a b"@x', "a b", "x"),
        ('"a@b"@x', "a@b", "x"),
        ('"a.b"@x', "a.b", "x"),
        (r'"a\"b\\c\d"@x', 'a"b\\cd', "x"),
        ('"a>b"@x', "a>b", "x"),
        ('""@x', "", "x"),
        ('"..a"@x', "..a", "x"),
        ("jörg@bücher.example", "jörg", "xn--bcher-kva.example"),
        ('"jörg b"@x', "jörg b", "x"),
        ("用户@例子.广告", "用户", "xn--fsqu00a.xn--4rr70v"),
        ("x@[192.0.2.1]", "x", "[192.0.2.1]"),
        ("x@[IPv6:2001:DB8::1]", "x", "[IPv6:2001:db8::1]"),
        ("postmaster", "postmaster", ""),
        ("PostMaster", "PostMaster", ""),
        ("a" * 64 + "@x", "a" * 64, "x"),
        ('"' + r"\"" * 64 + '"@x', '"' * 64, "x"),
        ("a" * 64 + "@" + "b." * 94 + "c", "a" * 64, "b." * 94 + "c"),
        # RFC 5321 §4.5.3.1: no limit where it can be helped; forwarders make longer ones than the 64 of §4.5.3.1.1
        ("a" * 252 + "@x", "a" * 252, "x"),
        ("é" * 126 + "@x", "é" * 126, "x"),
    ],
)
def test_read(written: str, local: str, domain: str) -> None:
    assert Address.parse(written) == Address(local, domain)


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("", "no @"),
        ("a", "no @"),
        ("@x", "local part is missing"),
        ("a@", "domain is missing"),
        (".a@x", "local part is malformed"),
        ("a.@x", "local part is malformed"),
        ("a..b@x", "local part is malformed"),
        ("a b@x", "local part is malformed"),
        ("a@b@x", "local part is malformed"),
        ("a(comment)@x", "local part is malformed"),
        ('"a@x', "quoted local part"),
        ('"a"b@x', "quoted local part"),
        ('"a"b"@x', "quoted local part"),
        ('"a\\"@x', "quoted local part"),
        ('"a\\é"@x', "quoted local part"),
        ("<a@x>", "local part is malformed"),
        ("a@x>", "letters, digits"),
        ("a\x00@x", "control character"),
        ("a\r\n@x", "control character"),
        ('"a\tb"@x', "control character"),
        ('"a\x7f"@x', "control character"),
        ("a\x85@x", "control character"),
        ("a\u2028b@x", "control character"),
        ("a\udcff@x", "control character"),
        ("a@x\n", "control character"),
        ("é" * 127 + "@x", "254 octets"),
        ("a" * 64 + "@" + "b." * 94 + "cd", "254 octets"),  # RFC 5321 §4.5.3.1.3
        ("a@" + "b." * 125 + "cde", "254 octets"),
        ("a@" + "b." * 128, "255 octets"),
        ("a" * 1000 + "@x", "254 octets"),
    ],
)
def test_refused(written: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Address.parse(written)


@pytest.mark.parametrize(
    ("address", "written"),
    [
        (Address("a.b", "x"), "a.b@x"),
        (Address("a b", "x"), '"a b"@x'),
        (Address('a"b\\', "x"), r'"a\"b\\"@x'),
        (Address("", "x"), '""@x'),
        (Address("a..b", "x"), '"a..b"@x'),
        (Address("a@b", "x"), '"a@b"@x'),
        (Address("jörg", "x"), "jörg@x"),
        (Address("postmaster", ""), "postmaster"),
    ],
)
def test_quoted_on_the_wire_only_where_needed(address: Address, written: str) -> None:
    assert str(address) == written


def test_key_ignores_case_and_composition() -> None:
    assert Address.parse("A.Person@EXAMPLE.org").key == "a.person@example.org"
    assert Address.parse("JO\u0308RG@x").key == Address.parse("jörg@x").key == "jörg@x"
    assert Address.parse("straße@x").key == Address.parse("STRASSE@x").key
    assert Address.parse('"A B"@x').key == "a b@x"


def test_no_key_begins_with_the_at_sign() -> None:
    assert Address.parse('""@x').key == '""@x'


def test_only_the_local_part_asks_for_smtputf8() -> None:
    assert Address.parse("jörg@x").needs_smtputf8
    assert not Address.parse("joerg@bücher.example").needs_smtputf8


_locals = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]),
    max_size=16,
)


@given(
    _locals, st.sampled_from(["x", "mail.example.org", "[192.0.2.1]", "[IPv6:2001:db8::1]", "xn--bcher-kva.example"])
)
def test_what_is_written_is_read_again(local: str, domain: str) -> None:
    address = Address(local, domain)
    assert Address.parse(str(address)) == address


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        address = Address.parse(text)
    except ValueError:
        return
    assert Address.parse(str(address)) == address
