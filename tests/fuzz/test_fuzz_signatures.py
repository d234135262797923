"""Signatures of any kind: nothing raises, nothing takes long, and pieces make no difference."""

import asyncio
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.clock import ManualClock
from tests.fakes.dkim_signer import RSA, record, seal, sign
from tests.unit.mailauth.dkim.judging import KEY, MESSAGE, in_pieces

from postroom.dns.zone import Zone, ZoneResolver
from postroom.mailauth.dkim.checking import MAX_SIGNATURES, SignatureChecker, Signatures
from postroom.mailauth.dkim.keyrecord import Key, UnusableKey, read_key
from postroom.mailauth.dkim.signing import SeveralAuthors
from postroom.mailauth.dkim.signing import sign as sign_ours
from postroom.mailauth.dkim.signingkey import Algorithm, SigningKey
from postroom.mailauth.model import Result

_SIGNATURE = sign(MESSAGE).removesuffix(MESSAGE)
_SET = seal(MESSAGE).removesuffix(MESSAGE)
_FRAGMENTS = [
    _SIGNATURE,
    _SIGNATURE.replace(b"rsa", b"ed25519"),
    _SET,
    _SET.replace(b"i=1;", b"i=2;"),
    MESSAGE,
    b"DKIM-Signature: ",
    b"ARC-Seal: i=1; cv=none;",
    b"ARC-Message-Signature: i=1;",
    b"ARC-Authentication-Results: i=1; x\r\n",
    b"dkim-signature : v=1; a=rsa-sha256; d=example.org; s=sel; h=from; bh=AAAA; b=AAAA\r\n",
    b"v=1;",
    b"a=ed25519-sha256;",
    b"d=xn--\xff;",
    "d=\u2488.ß.example;".encode(),
    b"s=" + b"a." * 200 + b";",
    b"i==40=;",
    b"l=" + b"9" * 76 + b";",
    b"t=99999999999999999999;",
    b"c=/;",
    b"h=:::from;",
    b"q=;",
    b"x=;",
    b"=",
    b";",
    b":",
    b"\r\n",
    b"\r\n ",
    b"\n",
    b"\r",
    b" ",
    b"\x00",
    b"\xff",
    b"\r\n\r\n",
    b"From: a@example.org\r\n",
    b"From: <@@@>\r\n",
]
SECONDS = 2.0
"""Generous: some tens of milliseconds are usual, on a machine that is busy with other tests a few hundred."""


def checker() -> SignatureChecker:
    zone = Zone()
    zone.add(KEY, "TXT", f'"{record()}"')
    return SignatureChecker(ZoneResolver(zone), ManualClock())


def check(content: bytes) -> Signatures:
    found = asyncio.run(checker().check(content))
    assert len(found.dkim) <= MAX_SIGNATURES
    for each in found.dkim:
        assert "\r" not in each.reason
        assert "\n" not in each.reason
        assert len(each.reason) < 500
        assert len(each.identity) < 1000
    return found


@given(st.lists(st.sampled_from(_FRAGMENTS) | st.binary(max_size=20), max_size=20), st.integers(1, 50))
@settings(max_examples=500, deadline=None)
def test_any_mixture_is_judged_whole_and_in_pieces(parts: list[bytes], size: int) -> None:
    content = b"".join(parts)
    found = check(content)
    assert asyncio.run(checker().check(in_pieces(content, size))) == found
    key = SigningKey("example.org", "sel", Algorithm.RSA, RSA)
    try:
        fields = asyncio.run(sign_ours(content, b"From: x@example.org\r\n", [key], 1))
    except SeveralAuthors:  # another From anywhere in the header, so that readers may show either
        assert re.search(rb"from[ \t]*:", content, re.IGNORECASE) is not None
        return
    assert check(fields + b"From: x@example.org\r\n" + content).dkim[0].result is Result.PASS


@given(
    st.lists(
        st.sampled_from([b"v=DKIM1;", b"k=rsa;", b"p=", b"k=ed25519;", b"AAAA", b";", b"h=:", b"t=y:", b" "])
        | st.binary(max_size=30),
        max_size=12,
    )
)
@settings(max_examples=500, deadline=None)
def test_any_record_is_read(parts: list[bytes]) -> None:
    assert isinstance(read_key(b"".join(parts)), Key | UnusableKey)


def _field(value: bytes) -> bytes:
    return b"DKIM-Signature: " + value + b"\r\n"


_PLAIN = b"v=1; a=rsa-sha256; d=example.org; s=sel; h=from; bh=AAAA; b=AAAA"
LONG = {
    "signatures": _field(_PLAIN) * 10_000,
    "signatures with nothing in them": b"DKIM-Signature:\r\n" * 9_000,
    "tags": _field(_PLAIN + b"".join(b";a%d=x" % n for n in range(100_000))),
    "short tags": _field(_PLAIN + b"".join(b";a%d=x" % n for n in range(20_000))) * 1,
    "a long value": _field(_PLAIN + b"; z=" + b"x" * 1_000_000),
    "folds": _field(_PLAIN + b"; z=" + b"\r\n x" * 60_000),
    "white space": _field(_PLAIN + b"; z=" + b" " * 250_000 + b"\x00"),
    "names": _field(_PLAIN.replace(b"h=from", b"h=from" + b":from" * 100_000)),
    "as many names as there may be": (
        _field(_PLAIN.replace(b"h=from", b"h=from" + b":from" * 30_000)) + b"From: x\r\n"
    ),
    "names and fields": _field(_PLAIN.replace(b"h=from", b"h=from" + b":x" * 999)) * 10 + b"X: y\r\n" * 9_000,
    "an identity": _field(_PLAIN + b"; i=" + b"=40" * 80_000 + b"@example.org"),
    "an identity of marks": _field(_PLAIN + b"; i=" + b"@" * 250_000),
    "base64": _field(_PLAIN + b"A" * 250_000),
    "domains": _field(_PLAIN.replace(b"example.org", b"a." * 100_000 + b"org")),
    "a domain of many letters": _field(_PLAIN.replace(b"example.org", "ü".encode() * 100_000 + b".org")),
    "selectors": _field(_PLAIN.replace(b"s=sel", b"s=" + b"s." * 100_000)),
    "digits": _field(_PLAIN + b"; t=" + b"9" * 250_000),
    "authors": _field(_PLAIN) * 50 + b"From: " + b"<a@b.example>," * 15_000 + b"\r\n",
    "many From": _field(_PLAIN) * 50 + b"From: a@b.example\r\n" * 9_000,
    "seals": b"ARC-Seal: i=1; cv=none; b=AAAA\r\n" * 9_000,
    "sets": _SET * 400,
    "comments": b"ARC-Authentication-Results: " + b"()" * 120_000 + b"i=1\r\n",
    "open comments": b"ARC-Authentication-Results: " + b"(" * 250_000 + b"\r\n",
    "a header without an end": b"X: y\r\n" * 300_000,
    "one field": b"X: " + b"y" * 2_000_000,
    "line ends": _field(_PLAIN) + b"\r\n" + b"\r\n" * 500_000 + b"x",
    "spaces": _field(_PLAIN.replace(b"h=", b"c=relaxed/relaxed; h=")) + b"\r\n" + b" " * 1_000_000,
    "lines of one space": _field(_PLAIN.replace(b"h=", b"c=relaxed/relaxed; h=")) + b"\r\n" + b" \r\n" * 300_000,
}


@pytest.mark.parametrize("name", LONG)
def test_a_lot_of_anything_is_soon_judged(name: str) -> None:
    start = time.process_time()
    check(LONG[name])
    check(LONG[name] + MESSAGE)
    assert time.process_time() - start < SECONDS


def test_true_signatures_over_a_large_header_many_times() -> None:
    """What a hostile signer can make us do at most: ten signatures and fifty sets, each over all of it."""
    message = b"X: " + b"y " * 50_000 + b"\r\n" + MESSAGE
    for _ in range(12):
        message = seal(message)
    for _ in range(MAX_SIGNATURES):
        message = sign(message, "v=1; a=rsa-sha256; d=example.org; s=sel; h=from:x; bh={bh}; b={b}")
    start = time.process_time()
    found = check(message)
    assert time.process_time() - start < SECONDS
    assert [each.result for each in found.dkim] == [Result.PASS] * MAX_SIGNATURES
    assert found.arc.result is Result.PASS
