"""Domains and address literals in canonical form (RFC 5321 §4.1.2, §4.1.3, RFC 5890)."""

import pytest

from postroom.mail.domain import literal_address, normalise_domain, show_domain


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("example.org", "example.org"),
        ("EXAMPLE.Org", "example.org"),
        ("localhost", "localhost"),
        ("a--b.example", "a--b.example"),
        ("3com.com", "3com.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),  # RFC 5891, RFC 5895 §2
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("xn--i-7iq.ws", "xn--i-7iq.ws"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("[192.000.002.001]", "[192.0.2.1]"),
        ("[IPv6:2001:DB8:0:0:0:0:0:1]", "[IPv6:2001:db8::1]"),
        ("[ipv6:::1]", "[IPv6:::1]"),
        ("[IPv6:::ffff:192.0.2.1]", "[IPv6:::ffff:c000:201]"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
        (".".join(["a" * 63] * 3) + "." + "b" * 63, ".".join(["a" * 63] * 3) + "." + "b" * 63),
    ],
)
def test_canonical_form(written: str, canonical: str) -> None:
    assert normalise_domain(written) == canonical
    assert normalise_domain(canonical) == canonical


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("", "missing"),
        (".", "empty label"),
        ("example.org.", "empty label"),
        (".example.org", "empty label"),
        ("a..b", "empty label"),
        ("-a.example", "letters, digits"),
        ("a-.example", "letters, digits"),
        ("a_b.example", "letters, digits"),
        ("a b.example", "letters, digits"),
        ("exa\nmple", "letters, digits"),
        ("example.org\n", "letters, digits"),
        ("a" * 64 + ".example", "63 octets"),  # RFC 1035 §2.3.1
        ("a." * 127 + "bc", "255 octets"),  # RFC 5321 §4.5.3.1.2
        (".".join(["ü" * 40] * 6), "255 octets"),
        ("ü" * 64 + ".example", "not allowed"),
        ("\u200dx.example", "not allowed"),
        ("a。b", "not allowed"),
        ("\udcff.example", "not allowed"),
        ("[192.0.2.256]", "above 255"),
        ("[192.0.2]", "not an address literal"),
        ("[192.0.2.1.1]", "not an address literal"),
        ("[192.0.2.1", "closing bracket"),
        ("[٣.0.2.1]", "not an address literal"),
        ("[]", "not an address literal"),
        ("[tag:content]", "not an address literal"),
        ("[IPv6:192.0.2.1]", "not an IPv6"),
        ("[IPv6:fe80::1%eth0]", "zone"),
        ("[2001:db8::1]", "not an address literal"),
    ],
)
def test_refused(written: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        normalise_domain(written)


def test_shown_to_people() -> None:
    assert show_domain("example.org") == "example.org"
    assert show_domain("mail.xn--bcher-kva.example") == "mail.bücher.example"
    # Registries hold labels that IDNA 2008 forbids: they are shown as they stand.
    assert show_domain("xn--i-7iq.ws") == "xn--i-7iq.ws"
    assert show_domain("a.xn--b") == "a.xn--b"


def test_the_address_in_a_literal() -> None:
    assert literal_address("[192.0.2.1]") == "192.0.2.1"
    assert literal_address("[IPv6:2001:db8::1]") == "2001:db8::1"
    assert literal_address("example.org") == ""
