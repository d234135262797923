"""What we sign, and how the fields look (RFC 6376 §5)."""

import asyncio
import re
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from tests.fakes.clock import ManualClock
from tests.fakes.dkim_signer import ED25519, RSA
from tests.unit.mailauth.dkim.judging import NOW, in_pieces
from tests.unit.mailauth.vectors import vectors

from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.headers import split_header
from postroom.mailauth.dkim.body import BodyHasher
from postroom.mailauth.dkim.checking import SignatureChecker
from postroom.mailauth.dkim.keyrecord import Key, read_key
from postroom.mailauth.dkim.opening import MAX_HEADER
from postroom.mailauth.dkim.signing import MAX_NAMES, HeaderTooLong, sign
from postroom.mailauth.dkim.signingkey import (
    Algorithm,
    SigningKey,
    algorithm_of,
    key_record,
    load_key,
    make_key,
    write_key,
)
from postroom.mailauth.dkim.tags import read_tags
from postroom.mailauth.model import Result

RSA_KEY = SigningKey("example.org", "r1", Algorithm.RSA, RSA)
ED_KEY = SigningKey("example.org", "e1", Algorithm.ED25519, ED25519)
BOTH = (RSA_KEY, ED_KEY)
CONTENT = b"From: a@example.org\r\nTo: b@example.net\r\nSubject: hello\r\n\r\nHow are you?\r\n"
ALWAYS = ["from", "to", "cc", "reply-to", "subject", "date", "message-id"]


def tags_of(field: bytes) -> dict[str, str]:
    (one,) = split_header(field).fields
    assert one.name == b"DKIM-Signature"
    return read_tags(one.value)


def names_of(field: bytes) -> list[str]:
    return re.sub(r"\s", "", tags_of(field)["h"]).split(":")


async def results(message: bytes, *keys: SigningKey) -> list[Result]:
    zone = Zone.of({key.name: {"TXT": [f'"{key_record(key)}"']} for key in keys or BOTH})
    found = await SignatureChecker(ZoneResolver(zone), ManualClock()).check(message)
    assert all(check.covered and check.identity == "@example.org" for check in found.dkim)
    return [check.result for check in found.dkim]


async def test_one_field_for_each_key() -> None:
    """RFC 8463 §6: several algorithms at once, each under a selector of its own."""
    fields = await sign(CONTENT, b"", BOTH, NOW)
    rsa_field, ed_field = fields.split(b"\r\nDKIM-Signature:")
    tags, other = tags_of(rsa_field + b"\r\n"), tags_of(b"DKIM-Signature:" + ed_field)
    assert (tags["a"], tags["s"], other["a"], other["s"]) == ("rsa-sha256", "r1", "ed25519-sha256", "e1")
    assert tags["bh"] == other["bh"]
    assert list(tags) == ["v", "a", "c", "d", "s", "t", "h", "bh", "b"]
    assert (tags["v"], tags["c"], tags["d"], tags["t"]) == ("1", "relaxed/relaxed", "example.org", str(int(NOW)))
    assert await results(fields + CONTENT) == [Result.PASS, Result.PASS]
    assert await sign(CONTENT, b"", (), NOW) == b""


async def test_the_same_input_gives_the_same_fields() -> None:
    fields = await sign(CONTENT, b"Date: now\r\n", BOTH, NOW)
    assert await sign(in_pieces(CONTENT, 1), b"Date: now\r\n", BOTH, NOW + 0.5) == fields
    for size in (3, 30, 1000):
        assert await sign(in_pieces(CONTENT, size), b"Date: now\r\n", BOTH, NOW) == fields


async def test_what_we_put_in_front_is_signed_too() -> None:
    content = CONTENT.replace(b"From: a@example.org\r\n", b"")
    prefix = b"Received: from x\r\n\tby y; now\r\nFrom: a@example.org\r\nDate: now\r\nMessage-ID: <1@x>\r\n"
    for given in (content, in_pieces(content, 9)):
        fields = await sign(given, prefix, BOTH, NOW)
        assert await results(fields + prefix + content) == [Result.PASS, Result.PASS]
        assert await results(fields + prefix.replace(b"<1@x>", b"<2@x>") + content) == [Result.FAIL, Result.FAIL]
        assert await results(fields + b"Received: later\r\n" + prefix + content) == [Result.PASS, Result.PASS]
    assert names_of(await sign(content, prefix, [ED_KEY], NOW)).count("date") == 2


async def test_fields_that_nobody_may_add() -> None:
    """RFC 6376 §5.4: named once more than they are there."""
    fields = await sign(CONTENT, b"", BOTH, NOW)
    message = fields + CONTENT
    for name in ALWAYS:
        assert set(await results(name.title().encode() + b": x\r\n" + message)) == {Result.FAIL}
        below = message.replace(b"Subject:", name.encode() + b": x\r\nSubject:")
        assert set(await results(below)) == {Result.FAIL}
    for name in ("Received", "X-Spam", "Sender", "List-Id", "Content-Type", "MIME-Version", "Authentication-Results"):
        assert set(await results(name.encode() + b": x\r\n" + message)) == {Result.PASS}


FULL = b"""Received: from x
Return-Path: <a@example.org>
From: a@example.org
Sender: b@example.org
Reply-To: c@example.org
To: d@example.net
CC: e@example.net
Subject: hello
Date: now
Message-Id: <1@example.org>
In-Reply-To: <2@example.org>
References: <3@example.org>
MIME-Version: 1.0
Content-Type: text/plain
Content-Transfer-Encoding: 7bit
Content-Language: en
Content-Length: 6
Resent-Bcc: g@example.org
List-Id: <l.example.org>
List-Unsubscribe: <https://example.org/u>
List-Unsubscribe-Post: List-Unsubscribe=One-Click
Feedback-ID: 1
Resent-From: f@example.org
Comments: none
X-Mailer: none
Authentication-Results: none
DKIM-Signature: v=1

text
""".replace(b"\n", b"\r\n")
ONCE_MORE = [*ALWAYS, "mime-version", "content-type", "content-transfer-encoding", "in-reply-to", "references"]
AS_OFTEN = ["sender", "content-language", "list-id", "list-unsubscribe", "list-unsubscribe-post", "feedback-id"]


async def test_which_fields_are_signed() -> None:
    """RFC 6376 §5.4.1; RFC 8058 §4 for List-Unsubscribe-Post. None that others change, add or drop on the way."""
    names = names_of(await sign(FULL, b"", [RSA_KEY], NOW))
    assert sorted(names) == sorted([*ONCE_MORE * 2, *AS_OFTEN, "resent-from"])


async def test_fields_that_are_there_several_times() -> None:
    """RFC 6376 §5.4.2: each of them, from the bottom up."""
    content = b"List-Id: <1>\r\nTo: x@example.net\r\nlist-id: <2>\r\nTO: y@example.net\r\n" + CONTENT
    fields = await sign(content, b"", BOTH, NOW)
    names = names_of(await sign(content, b"", [RSA_KEY], NOW))
    assert (names.count("to"), names.count("list-id")) == (4, 2)
    assert await results(fields + content) == [Result.PASS, Result.PASS]
    swapped = content.replace(b"<1>", b"<0>").replace(b"<2>", b"<1>").replace(b"<0>", b"<2>")
    assert await results(fields + swapped) == [Result.FAIL, Result.FAIL]
    assert await results(fields + b"List-Id: <0>\r\n" + content) == [Result.PASS, Result.PASS]


@pytest.mark.parametrize(
    "key",
    [
        RSA_KEY,
        ED_KEY,
        SigningKey(".".join(["a" * 50] * 4) + ".org", "s" * 40, Algorithm.RSA, RSA),
    ],
    ids=["rsa", "ed25519", "long"],
)
@pytest.mark.parametrize("content", [CONTENT, FULL, b"List-X-%b: y\r\n" % (b"y" * 60) * 30 + FULL])
async def test_how_a_field_is_folded(key: SigningKey, content: bytes) -> None:
    """RFC 5322 §2.1.1: 78 characters a line, where no name is longer than that; nowhere white space alone."""
    field = await sign(content, b"", [key], NOW)
    assert field.startswith(b"DKIM-Signature: v=1; ")
    assert field.endswith(b"\r\n")
    *lines, last = field.split(b"\r\n")
    assert last == b""
    assert all(line.startswith(b" ") for line in lines[1:])
    assert all(line.strip() for line in lines)
    assert not any(line.endswith(b" ") for line in lines)
    longest = max(len(line) for line in lines if b"d=aaa" not in line)
    assert longest <= 77
    assert len(field) < 4000


@pytest.mark.parametrize(
    "content",
    [
        b"From: a@example.org\r\n\r\n",
        b"From: a@example.org\r\n",
        b"From: a@example.org",
        b"From: a@example.org\r\n\r\n\r\n\r\n",
        b"From: a@example.org\r\n\r\nno line end",
        b"From: a@example.org\r\nno field\r\n\r\nbody\r\n",
        b"FROM : a@example.org\r\nX:\r\n \r\n\r\n\xff\x00\r\n",
        "From: jürgen@example.org\r\nSubject: prüfe \r\n  dies\r\n\r\nüber\r\n".encode(),
        b"\r\nno header\r\n",
        b"",
    ],
)
async def test_any_content_is_signed(content: bytes) -> None:
    for given in (content, in_pieces(content, 1)):
        fields = await sign(given, b"Date: now\r\n", BOTH, NOW)
        if content.endswith(b"\r\n") or b"\r\n\r\n" in content:
            assert await results(fields + b"Date: now\r\n" + content) == [Result.PASS, Result.PASS]


async def test_a_header_that_verifiers_do_not_read_is_not_signed() -> None:
    with pytest.raises(HeaderTooLong):
        await sign(b"X: " + b"x" * MAX_HEADER + b"\r\n" + CONTENT, b"", BOTH, NOW)


async def test_names_have_a_bound() -> None:
    content = b"".join(b"List-%d: x\r\n" % n for n in range(9000)) + CONTENT
    fields = await sign(content, b"", BOTH, NOW)
    assert await results(fields + content) == [Result.PASS, Result.PASS]
    names = names_of(await sign(content, b"", [RSA_KEY], NOW))
    assert len(names) == MAX_NAMES
    assert set(ALWAYS) <= set(names)


async def test_a_large_body_is_hashed_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the event loop serves others meanwhile; what is small is not worth the way there."""
    threads: dict[int, bool] = {}

    class Watching(BodyHasher):
        def feed(self, piece: bytes) -> None:
            threads[len(piece)] = threading.current_thread() is threading.main_thread()
            super().feed(piece)

    monkeypatch.setattr("postroom.mailauth.dkim.signing.BodyHasher", Watching)
    body = b"x" * 100_000
    fields = await sign(b"From: a@example.org\r\n\r\n" + body, b"", [ED_KEY], NOW)
    assert await sign(in_pieces(b"From: a@example.org\r\n\r\n" + body, 65_536), b"", [ED_KEY], NOW) == fields
    assert threads == {100_000: False, 65_536 - 23: True, 100_023 - 65_536: True}


@pytest.mark.parametrize("key", BOTH, ids=["rsa", "ed25519"])
def test_the_record_of_a_key(key: SigningKey) -> None:
    """RFC 6376 §3.6.1: for SHA-256 only, and for d= itself only, as we never sign for less."""
    assert key.name == f"{key.selector}._domainkey.example.org"
    text = key_record(key)
    found = read_key(text.encode())
    assert isinstance(found, Key)
    assert (found.algorithm, found.strict, found.testing) == (key.algorithm.value, True, False)
    assert text.startswith("v=DKIM1; k=")
    assert "h=sha256;" in text


@pytest.mark.parametrize("algorithm", Algorithm)
def test_keys_are_made_written_and_read(algorithm: Algorithm) -> None:
    private = make_key(algorithm)
    again = load_key(write_key(private))
    assert algorithm_of(again) is algorithm
    assert again.public_key() == private.public_key()
    key = SigningKey("example.org", "s", algorithm, private)
    found = read_key(key_record(key).encode())
    assert isinstance(found, Key)
    assert found.bits == (2048 if algorithm is Algorithm.RSA else 256)
    assert found.verifies(key.sign(b"x" * 32), b"x" * 32)
    assert write_key(private).decode() not in repr(key)
    assert "object at" not in repr(key)


@pytest.mark.parametrize("name", ["1024_testkey.key", "2048_testkey.key", "2048_testkey_PKCS8.key", "test.private"])
def test_public_keys_in_both_forms(name: str) -> None:
    assert algorithm_of(load_key((vectors("dkim-vectors") / "data" / name).read_bytes())) is Algorithm.RSA


def test_keys_that_are_locked() -> None:
    locked = make_key(Algorithm.ED25519).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    assert algorithm_of(load_key(locked, b"x")) is Algorithm.ED25519
    for password in (None, b"y"):
        with pytest.raises(ValueError, match="password"):
            load_key(locked, password)


def test_what_are_no_keys_for_this() -> None:
    curve = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="RSA or Ed25519"):
        load_key(curve)
    short = rsa.generate_private_key(65537, 1024)
    assert load_key(write_key(short)).public_key() == short.public_key()
    for pem in (b"", b"nonsense", write_key(short)[:200]):
        with pytest.raises(ValueError, match="no private key"):
            load_key(pem)


@pytest.mark.parametrize(("p", "q", "bits"), [(127, 521, 648), (2203, 2281, 4484)])
def test_keys_that_nobody_could_verify(p: int, q: int, bits: int) -> None:
    """RFC 8301 §3.2: signers must use at least 1024 bits; verifiers need take no more than 4096."""
    with pytest.raises(ValueError, match=f"{bits} bits"):
        load_key(write_key(of_primes((1 << p) - 1, (1 << q) - 1)))


def of_primes(p: int, q: int) -> rsa.RSAPrivateKey:
    """The key of two primes; those of Mersenne need no searching."""
    exponent = pow(65537, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(65537, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, exponent, exponent % (p - 1), exponent % (q - 1), pow(q, -1, p), public)
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


async def test_many_at_once() -> None:
    fields = await sign(CONTENT, b"", BOTH, NOW)
    assert set(await asyncio.gather(*[sign(CONTENT, b"", BOTH, NOW) for _ in range(20)])) == {fields}
