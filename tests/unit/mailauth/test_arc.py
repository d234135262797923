"""Chains of our own: structure, faults, and what they may cost (RFC 8617 §4, §5.2); the public suite is beside this."""

import re
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from tests.fakes.clock import ManualClock
from tests.fakes.dkim_signer import record, seal, sign
from tests.unit.mailauth.dkim.judging import KEY, MESSAGE, in_pieces, zone_of

from postroom.dns.zone import Zone, ZoneResolver
from postroom.mailauth.arcset import MAX_SETS
from postroom.mailauth.dkim.checking import SignatureChecker
from postroom.mailauth.model import NO_ARC, ArcCheck, Result

OTHER = generate_private_key(65537, 1024)


async def check(message: bytes, zone: Zone | None = None) -> ArcCheck:
    """The same whole and in pieces."""
    checker = SignatureChecker(ZoneResolver(zone or zone_of()), ManualClock())
    found = (await checker.check(message)).arc
    assert (await checker.check(in_pieces(message, 100))).arc == found
    return found


def sealed(times: int, message: bytes = MESSAGE) -> bytes:
    for _ in range(times):
        message = seal(message)
    return message


async def test_no_chain() -> None:
    """RFC 8617 §5.2 step 1."""
    assert await check(MESSAGE) == NO_ARC


@pytest.mark.parametrize("sets", [1, 2, 3, 10, 50])
async def test_whole_chains(sets: int) -> None:
    found = await check(sealed(sets))
    assert found == ArcCheck(
        Result.PASS, sealers=("example.org",) * sets, results=("example.org; dkim=pass",) * sets, oldest_pass=0
    )


async def test_dkim_and_arc_are_found_together() -> None:
    checker = SignatureChecker(ZoneResolver(zone_of()), ManualClock())
    found = await checker.check(sealed(2, sign(MESSAGE)))
    assert [each.result for each in found.dkim] == [Result.PASS]
    assert found.arc.result is Result.PASS


async def test_a_chain_that_is_too_long() -> None:
    """RFC 8617 §4.2.1, §5.2 step 1: 50 at most."""
    assert (await check(seal(sealed(MAX_SETS)))).reason == f"there are more than {MAX_SETS} ARC sets"


@pytest.mark.parametrize(
    ("pattern", "by", "reason"),
    [
        (rb"ARC-Seal: i=1;.*\r\n", b"", "set 1 has no ARC-Seal"),
        (rb"ARC-Message-Signature: i=2;.*\r\n", b"", "set 2 has no ARC-Message-Signature"),
        (rb"ARC-Authentication-Results: i=2;.*\r\n", b"", "set 2 has no ARC-Authentication-Results"),
        (rb"ARC-Seal: i=2;", b"ARC-Seal: i=3;", "set 2 has no ARC-Seal"),
        (rb"ARC-Seal: i=2;", b"ARC-Seal: i=1;", "set 1 has two ARC-Seal"),
        (rb"ARC-Seal: i=2;", b"ARC-Seal: i=0;", "an ARC-Seal has the instance 0"),
        (rb"ARC-Seal: i=2;", b"ARC-Seal: i=51;", "an ARC-Seal has the instance 51"),
        (rb"ARC-Seal: i=2;", b"ARC-Seal: i=222222;", "an ARC-Seal has no instance"),
        (rb"ARC-Seal: i=2;", b"ARC-Seal: i=2; i=2;", "an ARC-Seal is malformed: the tag i= is there twice"),
        (rb"ARC-Seal: i=2;", b"ARC-Seal: i=2; h=from;", "seal 2 has h="),
        (rb"Results: i=2;", b"Results: 2;", "an ARC-Authentication-Results does not begin with its instance"),
        (rb"Results: i=2;", b"Results: (i=2;", "an ARC-Authentication-Results does not begin with its instance"),
        (rb"Results: i=2;", b"Results: i=2(;", "an ARC-Authentication-Results does not begin with its instance"),
        (rb"cv=pass", b"cv=fail", "sealer 2 found the chain broken"),
        (rb"cv=pass", b"cv=none", "seal 2 has cv=none"),
        (rb"cv=pass", b"cv=PASS", "seal 2 has cv=PASS"),
        (rb"cv=none", b"cv=fail", "seal 1 has cv=fail"),
        (rb"cv=none", b"cv=pass", "seal 1 has cv=pass"),
        (rb"(ARC-Seal: i=2;.*) s=sel;", rb"\1", "seal 2 cannot be used: s= is missing"),
        (rb"(ARC-Seal: i=2;.*) s=sel;", rb"\1 s=sel; t=x;", "seal 2 cannot be used: t= is not a number"),
        (
            rb"(ARC-Seal: i=1;.*) a=rsa-sha256;",
            rb"\1 a=rsa-sha1;",
            "seal 1 cannot be used: rsa-sha1 is not used any more",
        ),
        (rb"(ARC-Message-Signature: i=2;.*) bh=", rb"\1 bl=", "message signature 2: bh= is missing"),
        (rb"(ARC-Message-Signature: i=2;.*) bh=", rb"\1 x=1; bh=", "message signature 2: the signature has expired"),
        (rb"(ARC-Message-Signature: i=2;.*) h=", rb"\1 h=to:", "message signature 2: the signature did not verify"),
        (rb"How are you", b"Who are you", "message signature 2: the body hash did not verify"),
        (rb"Subject: ", b"Subject: no ", "message signature 2: the signature did not verify"),
        (rb"(Results: i=2; example.org; dkim=)pass", rb"\1fail", "seal 2: the signature did not verify"),
        (rb"(Results: i=1; example.org; dkim=)pass", rb"\1fail", "seal 2: the signature did not verify"),
    ],
)
async def test_chains_that_are_broken(pattern: bytes, by: bytes, reason: str) -> None:
    """RFC 8617 §5.2 steps 2, 3, 4 and 6, §4.1.3."""
    message, count = re.subn(pattern, by, sealed(2))
    assert count
    assert await check(message) == ArcCheck(Result.FAIL, reason=reason)


async def test_an_older_seal_that_is_false() -> None:
    """RFC 8617 §5.2 step 6: every one must be true."""
    first = re.sub(rb"(ARC-Seal: .*b=....)....", rb"\1AAAA", seal(MESSAGE))
    assert (await check(seal(seal(first)))).reason == "seal 1: the signature did not verify"


async def test_the_order_of_fields_does_not_matter() -> None:
    header, end, body = sealed(3).partition(b"\r\n\r\n")
    fields = header.split(b"\r\n")
    arc, rest = fields[:9], fields[9:]
    assert all(field.startswith(b"ARC") for field in arc)
    for order in (arc[::-1], arc[::2] + arc[1::2], sorted(arc)):
        assert (await check(b"\r\n".join(order + rest) + end + body)).result is Result.PASS


async def test_an_instance_may_have_comments_around_it() -> None:
    """RFC 8617 §4.2.1, §4.1.1: [CFWS]."""
    text = b"ARC-Authentication-Results: (we) i = 1 (first) ; example.org; none\r\n"
    message = MESSAGE
    found = await check(text + message)
    assert found.reason == "set 1 has no ARC-Message-Signature"


@pytest.mark.parametrize(("changes", "oldest"), [([], 0), ([1], 2), ([2], 3), ([1, 2], 3)])
async def test_the_oldest_message_signature_that_holds(changes: list[int], oldest: int) -> None:
    """RFC 8617 §5.2 step 5: a list changes the message, and seals what it made of it."""
    message = MESSAGE
    for number in (1, 2, 3):
        message = seal(message)
        if number in changes:
            message += b"-- \r\nthe footer of a list\r\n"
    found = await check(message)
    assert (found.result, found.oldest_pass) == (Result.PASS, oldest)


@pytest.mark.parametrize("times", [1, 3])
async def test_an_older_message_signature_that_cannot_be_used(times: int) -> None:
    """It ends the search for the oldest, and no more."""
    message = seal(MESSAGE, algorithm="rsa-sha512")
    for _ in range(times):
        message = seal(message)
    found = await check(message)
    assert (found.result, found.oldest_pass) == (Result.PASS, 2)


async def test_keys_that_cannot_be_had() -> None:
    """RFC 8617 §5.2.1: all failures are permanent, one of the DNS too."""
    zone = zone_of()
    zone.servfail.add("sel._domainkey.two.example")
    message = seal(seal(MESSAGE, domain="two.example"))
    found = await check(message, zone)
    assert found.result is Result.FAIL
    assert found.reason.startswith("seal 1: the key could not be asked for")


async def test_only_a_chain_with_a_true_end_has_its_other_keys_asked_for() -> None:
    message = MESSAGE
    for number in range(20):
        message = seal(message, domain=f"d{number}.example")
    zone = zone_of(name="sel._domainkey.d19.example")
    checker = SignatureChecker(ZoneResolver(zone), ManualClock())
    assert (await checker.check(message + b"x")).arc.result is Result.FAIL
    assert list(zone.asked) == [("TXT", "sel._domainkey.d19.example")]
    zone.asked.clear()
    assert (await checker.check(message)).arc.reason == "seal 19: there is no key at sel._domainkey.d18.example"
    assert max(Counter(zone.asked).values()) == 1
    assert len(zone.asked) == 20


async def test_another_key_for_the_message_than_for_the_seal() -> None:
    """RFC 8617 §4.1.2: no requirement on selectors and domains; an older one is asked for when it matters."""
    message = seal(seal(MESSAGE, signer=("other", OTHER)))
    found = await check(message)
    assert (found.result, found.oldest_pass) == (Result.PASS, 2)  # it has no key
    zone = zone_of()
    zone.add("other._domainkey.example.org", "TXT", f'"{record(OTHER)}"')
    assert (await check(message, zone)).oldest_pass == 0
    assert (await check(seal(MESSAGE, signer=("other", OTHER)), zone)).result is Result.PASS
    zone.asked.clear()
    changed = seal(seal(MESSAGE, signer=("other", OTHER)) + b"footer\r\n")
    assert (await check(changed, zone)).oldest_pass == 2
    assert set(zone.asked) == {("TXT", KEY)}  # the body was another, whatever the key


async def test_a_body_is_not_read_for_a_chain_without_a_key() -> None:
    read = []

    async def pieces() -> AsyncIterator[bytes]:
        yield sealed(2)
        read.append(1)
        yield b"never needed"

    checker = SignatureChecker(ZoneResolver(Zone()), ManualClock())
    assert (await checker.check(pieces)).arc.reason.startswith("message signature 2: there is no key")
    assert read == []


async def test_short_keys() -> None:
    checker = SignatureChecker(ZoneResolver(zone_of()), ManualClock(), min_rsa_bits=2048)
    assert (await checker.check(seal(MESSAGE))).arc.reason == "message signature 1: the key has 1024 bits only"


async def test_seals_cost_no_more_than_their_number() -> None:
    """Each field is hashed once, however many seals there are over it."""
    message = sealed(MAX_SETS)
    assert message.count(b"ARC-Seal") == MAX_SETS
    checker = SignatureChecker(ZoneResolver(zone_of()), ManualClock())
    start = time.process_time()
    assert (await checker.check(message)).arc.result is Result.PASS
    assert time.process_time() - start < 0.5
