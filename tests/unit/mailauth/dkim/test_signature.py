"""What a DKIM-Signature field claims (RFC 6376 §3.5, §6.1.1)."""

import pytest

from postroom.mailauth.dkim.signature import (
    MAX_NAMES,
    Signature,
    SignatureFault,
    key_name,
    read_message_signature,
    read_signature,
)
from postroom.mailauth.dkim.tags import read_tags
from postroom.mailauth.model import Result

TAGS = {
    "v": "1",
    "a": "rsa-sha256",
    "b": "AAAA",
    "bh": "BBBB",
    "d": "example.org",
    "h": "from",
    "s": "sel",
}


def read(**tags: str) -> Signature:
    """A signature with these tags; one that is ``""`` here is missing."""
    return read_signature({name: text for name, text in (TAGS | tags).items() if text})


def fault(**tags: str) -> SignatureFault:
    with pytest.raises(SignatureFault) as caught:
        read(**tags)
    return caught.value


def test_the_example_of_the_standard() -> None:
    """RFC 6376 §3.5, at its end."""
    text = b""" v=1; a=rsa-sha256; d=example.net; s=brisbane;
      c=simple; q=dns/txt; i=@eng.example.net;
      t=1117574938; x=1118006938;
      h=from:to:subject:date;
      z=From:foo@eng.example.net|To:joe@example.com|
       Subject:demo=20run|Date:July=205,=202005=203:44:08=20PM=20-0700;
      bh=MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=;
      b=dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZVoG4ZHRNiYzR""".replace(b"\n", b"\r\n")
    signature = read_signature(read_tags(text))
    assert (signature.domain, signature.selector, signature.algorithm) == ("example.net", "brisbane", "rsa-sha256")
    assert (signature.identity, signature.host) == ("@eng.example.net", "eng.example.net")
    assert (signature.made, signature.expires) == (1117574938, 1118006938)
    assert signature.names == (b"from", b"to", b"subject", b"date")
    assert signature.body_hash == b"12345678901234567890123456789012"
    assert (signature.relaxed_header, signature.relaxed_body, signature.limit) == (False, False, None)


@pytest.mark.parametrize("name", TAGS)
def test_required_tags(name: str) -> None:
    """RFC 6376 §6.1.1."""
    missing = fault(**{name: ""})
    assert str(missing) == f"{name}= is missing"
    assert missing.result is Result.NEUTRAL  # RFC 8601 §2.7.1: "contained syntax errors"


@pytest.mark.parametrize("version", ["2", "0", "1.0", "01", "DKIM1"])
def test_versions(version: str) -> None:
    """RFC 6376 §3.5 v=, §6.1.1."""
    assert "version" in str(fault(v=version))


def test_algorithms() -> None:
    """RFC 6376 §3.3.2, §3.3.4; RFC 8463 §4.1; RFC 8301 §3.1."""
    assert read(a="ed25519-sha256").algorithm == "ed25519-sha256"
    assert fault(a="rsa-sha1").result is Result.PERMERROR
    for algorithm in ("rsa-sha512", "dsa-sha256", "rsa", "RSA-SHA256", "rsa-sha256 x"):
        assert fault(a=algorithm).result is Result.NEUTRAL


@pytest.mark.parametrize("text", ["A", "A===", "A=A=", "AA=A", "A_-A", "A.AA", "ä"])
@pytest.mark.parametrize("name", ["b", "bh"])
def test_base64(name: str, text: str) -> None:
    """RFC 6376 §2.10, §3.5."""
    assert str(fault(**{name: text})) == f"{name}= is not base64"


def test_white_space_in_base64_means_nothing() -> None:
    """RFC 6376 §3.5 b= and bh=."""
    assert read(b="QU\r\n JD", bh="Q UI =").value == b"ABC"
    assert read(b="QU\r\n JD", bh="Q UI =").body_hash == b"AB"


@pytest.mark.parametrize(
    ("text", "header", "body"),
    [
        ("", False, False),
        ("simple", False, False),
        ("relaxed", True, False),
        ("relaxed/relaxed", True, True),
        ("simple/relaxed", False, True),
        ("relaxed/simple", True, False),
    ],
)
def test_canonicalisations(text: str, header: bool, body: bool) -> None:
    """RFC 6376 §3.5 c=: simple/simple is the default, and simple that of the body."""
    signature = read(c=text)
    assert (signature.relaxed_header, signature.relaxed_body) == (header, body)


@pytest.mark.parametrize(
    "text", ["nofws", "relaxed/", "/relaxed", "relaxed/relaxed/relaxed", "relaxed / simple", "Relaxed"]
)
def test_unknown_canonicalisations(text: str) -> None:
    """RFC 6376 §3.4: such signatures are ignored."""
    assert "canonicalisation" in str(fault(c=text))


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("example.org", "example.org"),
        ("Example.ORG", "example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_domains(text: str, domain: str) -> None:
    """RFC 6376 §3.5 d=, A-labels; RFC 8616 §5, U-labels too, which are A-labels for the DNS."""
    assert read(d=text).domain == domain


@pytest.mark.parametrize(
    "text",
    [
        "org",
        "example.org.",
        ".example.org",
        "exa mple.org",
        "[192.0.2.1]",
        "ex_ample.org",
        "-a.org",
        "a" * 64 + ".org",
        "a..org",
        "a." * 200 + "org",
        "⒈com.org",
    ],
)
def test_what_is_no_domain(text: str) -> None:
    """RFC 6376 §3.5 d=: sub-domains of RFC 5321, two at least, no address literal."""
    assert "no domain" in str(fault(d=text))


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("sel", "sel"),
        ("SEL", "sel"),
        ("foo.bar", "foo.bar"),
        ("2024-q1", "2024-q1"),
        ("dkim_s1", "dkim_s1"),
        ("schlüssel", "xn--schlssel-95a"),
    ],
)
def test_selectors(text: str, selector: str) -> None:
    """RFC 6376 §3.1, §3.6.2.1; RFC 8616 §5."""
    signature = read(s=text)
    assert key_name(signature.selector, signature.domain) == f"{selector}._domainkey.example.org"


@pytest.mark.parametrize("text", [".", "a.", "a b", "a*", "a/b", "-a", "x" * 64, "a\\.b", "é\u2488"])
def test_what_is_no_selector(text: str) -> None:
    assert "no selector" in str(fault(s=text))


def test_names_that_are_too_long_for_the_dns_are_never_asked_for() -> None:
    """RFC 1035 §2.3.4."""
    long = ".".join(["a" * 60] * 4)
    assert "too long" in str(fault(s=long))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("from", (b"from",)),
        ("From:TO:from", (b"from", b"to", b"from")),
        ("from : to\r\n :\r\n date", (b"from", b"to", b"date")),
        ("from:dkim-signature:x!y", (b"from", b"dkim-signature", b"x!y")),
    ],
)
def test_signed_fields(text: str, names: tuple[bytes, ...]) -> None:
    """RFC 6376 §3.5 h=."""
    assert read(h=text).names == names


@pytest.mark.parametrize("text", [":", "from:", ":from", "from::to", "from to", "from:tö", "from:a b"])
def test_what_are_no_field_names(text: str) -> None:
    assert "h= has" in str(fault(h=text))


def test_from_must_be_signed() -> None:
    """RFC 6376 §5.4, §6.1.1; RFC 8601 §2.7.1 permerror."""
    assert fault(h="to:subject").result is Result.PERMERROR


def test_names_have_a_bound() -> None:
    assert len(read(h=":".join(["from"] * MAX_NAMES)).names) == MAX_NAMES
    assert "more than" in str(fault(h=":".join(["from"] * (MAX_NAMES + 1))))


@pytest.mark.parametrize(
    ("text", "identity", "host"),
    [
        ("", "@example.org", "example.org"),
        ("@example.org", "@example.org", "example.org"),
        ("joe@EXAMPLE.org", "joe@example.org", "example.org"),
        ("joe@eng.example.org", "joe@eng.example.org", "eng.example.org"),
        ("joe=2Bx=3B@example.org", "joe+x;@example.org", "example.org"),
        ("jo\r\n e@exam ple.org", "joe@example.org", "example.org"),
        ("=22a=40b=22@example.org", '"a@b"@example.org', "example.org"),
        ("j=C3=B6e@example.org", "jöe@example.org", "example.org"),
        ("jöe@example.org", "jöe@example.org", "example.org"),
    ],
)
def test_identities(text: str, identity: str, host: str) -> None:
    """RFC 6376 §3.5 i=, quoted as §2.11 says; RFC 8616 §5 has UTF-8 as it is."""
    signature = read(i=text)
    assert (signature.identity, signature.host) == (identity, host)


def test_an_international_identity_is_below_an_international_domain() -> None:
    """RFC 8616 §5: U-labels and A-labels name the same domain."""
    assert read(d="bücher.example", i="@mail.xn--bcher-kva.example").host == "mail.xn--bcher-kva.example"


@pytest.mark.parametrize(
    "text",
    [
        "joe",
        "joe@",
        "@",
        "joe@org",
        "joe=4@example.org",
        "joe=zz@example.org",
        "joe=c3@example.org",
        "=FF@example.org",
        "joe=0D=0AX@example.org",
        "joe=00@example.org",
        "j" * 400 + "@example.org",
        "joe@[192.0.2.1]",
    ],
)
def test_what_is_no_identity(text: str) -> None:
    assert fault(i=text).result is Result.NEUTRAL


@pytest.mark.parametrize(
    "text", ["@example.com", "@xexample.org", "@org.example", "@example.org.evil.example", "@a.org"]
)
def test_an_identity_elsewhere(text: str) -> None:
    """RFC 6376 §6.1.1: d= must be the same as or a parent of the domain of i=."""
    assert "not below" in str(fault(i=text))


@pytest.mark.parametrize("text", ["a", "-1", "1.0", "9" * 77, "1 2", "١"])
def test_lengths_that_are_none(text: str) -> None:
    """RFC 6376 §3.5 l=: 76 digits at most."""
    assert "l= is not" in str(fault(l=text))


def test_lengths() -> None:
    assert read(l="0").limit == 0
    assert read(l="00012").limit == 12
    assert read(l="9" * 76).limit == 10**76 - 1


def test_times() -> None:
    """RFC 6376 §3.5 t= and x=: more than 12 digits are as good as infinite; x= is after t=."""
    assert read(t="0").made == 0
    assert read(t="999999999999", x="9" * 60).expires == 10**12
    for name in "tx":
        assert "not a number" in str(fault(**{name: "12s"}))
        assert "not a number" in str(fault(**{name: "-1"}))
    assert "expires before" in str(fault(t="2", x="2"))
    assert read(t="2", x="3").expires == 3


def test_ways_to_the_key() -> None:
    """RFC 6376 §3.5 q=: unknown ones are passed over, and dns/txt is the only one that there is."""
    assert read(q="dns/txt").selector == "sel"
    assert read(q="http/x=3Dy : dns/txt").selector == "sel"
    assert "dns/txt" in str(fault(q="dns"))


def test_unknown_tags_are_ignored() -> None:
    """RFC 6376 §3.2, §6.1.1; z= is for diagnosis only (§3.5)."""
    assert read(xyz="1", z="From:a|b") == read()


def test_a_message_signature_of_arc_differs() -> None:
    """RFC 8617 §4.1.2: no v=, i= is the instance, and no ARC-Seal is signed."""
    tags = {name: text for name, text in TAGS.items() if name != "v"} | {"i": "1"}
    assert read_message_signature(tags).identity == ""
    assert read_message_signature(tags | {"v": "7"}).domain == "example.org"
    with pytest.raises(SignatureFault, match="ARC-Seal"):
        read_message_signature(tags | {"h": "from:ARC-seal"})
    with pytest.raises(SignatureFault, match="more than"):
        read_message_signature(tags | {"h": "from:" * 1001})
