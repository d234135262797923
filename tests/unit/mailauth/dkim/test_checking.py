"""Signatures of whole messages, from the header to the result (RFC 6376 §6)."""

import asyncio
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from tests.fakes.clock import ManualClock
from tests.fakes.dkim_signer import ED25519, PLAIN, RSA, record, sign
from tests.unit.mailauth.dkim.judging import KEY, MESSAGE, NOW, checker_of, in_pieces, only_check, zone_of

from postroom.dns.resolver import Answer
from postroom.dns.zone import Zone, ZoneResolver
from postroom.mail.trouble import StoreUnavailable
from postroom.mailauth.dkim.checking import MAX_SIGNATURES, SignatureChecker
from postroom.mailauth.dkim.opening import MAX_HEADER
from postroom.mailauth.model import DkimCheck, Result

OTHER = generate_private_key(65537, 1024)
HEADER, _, BODY = MESSAGE.partition(b"\r\n\r\n")


def template(*, without: Sequence[str] = (), **tags: str) -> str:
    """The plain template with these tags changed or added, some taken out."""
    parts = dict(part.strip().split("=", 1) for part in PLAIN.split(";"))
    value = parts.pop("b")
    return "; ".join(f"{name}={text}" for name, text in {**parts, **tags, "b": value}.items() if name not in without)


async def test_what_is_said_of_a_signature() -> None:
    signed = sign(MESSAGE, template(i="joe@mail.example.org"))
    mark = re.search(rb" b=(.{8})", signed)
    assert mark
    assert await only_check(signed) == DkimCheck(
        Result.PASS,
        domain="example.org",
        selector="sel",
        algorithm="rsa-sha256",
        identity="joe@mail.example.org",
        mark=mark[1].decode(),
        reason="",
        testing=False,
        covered=True,
        key_bits=1024,
    )


@pytest.mark.parametrize("canonicalisation", ["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"])
@pytest.mark.parametrize("private", [RSA, ED25519], ids=["rsa", "ed25519"])
@pytest.mark.parametrize(
    "message",
    [
        MESSAGE,
        HEADER + b"\r\n\r\n",
        HEADER + b"\r\n",
        HEADER,
        b"From: a@example.org\r\n\r\n\r\n\r\n",
        HEADER + b"\r\nX:  odd \t\r\n\t folding \r\n  \r\n\r\n  odd \t body \r\n \r\n.\r\n\r\n",
        HEADER + b"\r\nX-Latin: \xe4\xf6\xfc\xff\r\n\r\n\xe4\xf6\xfc\x00\xff\r\n",
        HEADER + b"\r\n\r\n" + b"x" * 5000 + b"\r\n" + b"y " * 5000,
        HEADER + b"\r\n\r\nno final line end",
        b"FROM : a@example.org\r\nTo\t: b@example.net\r\nsubject  :\r\n\r\nwhite space before colons\r\n",
    ],
)
async def test_many_kinds_of_mail(message: bytes, canonicalisation: str, private: object) -> None:
    """RFC 6376 §3.4: the canonicalisations of header and body, one by one."""
    algorithm = "rsa-sha256" if private is RSA else "ed25519-sha256"
    text = template(a=algorithm, c=canonicalisation, h="from:to:subject:x:x-latin:date")
    signed = sign(message, text, RSA if private is RSA else ED25519)
    checker = checker_of(record(RSA if private is RSA else ED25519))
    found = await checker.check(signed)
    assert [check.result for check in found.dkim] == [Result.PASS], found
    for size in (1, 3, 64):
        assert await checker.check(in_pieces(signed, size)) == found


async def test_a_large_body_comes_in_pieces_cut_anywhere() -> None:
    message = HEADER + b"\r\n\r\n" + b"It goes on  and on. \r\n\r\n" * 20_000 + b"\r\n" * 1000
    signed = sign(message, template(c="relaxed/relaxed"))
    signed = sign(signed, template(c="simple/simple"))
    signed = sign(signed, template(c="relaxed/relaxed", l="100000"))
    found = await checker_of().check(in_pieces(signed, 262_144))
    assert [(check.result, check.covered) for check in found.dkim] == [
        (Result.PASS, False),
        (Result.PASS, True),
        (Result.PASS, True),
    ]
    assert await checker_of().check(signed) == found
    assert await checker_of().check(in_pieces(signed, 70_001)) == found


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (b"How are", b"Who are", "the body hash did not verify"),
        (b"you?\r\n", b"you?\r\nBuy this!\r\n", "the body hash did not verify"),
        (b"Subject: hello", b"Subject: hullo", "the signature did not verify"),
        (b"To: b@", b"To: c@", "the signature did not verify"),
        (b"Subject:", b"Subject: another\r\nSubject:", ""),
        (b"Subject: hello\r\n", b"Subject: hello\r\nSubject: another\r\n", "the signature did not verify"),
        (b"From:", b"X-Added: 1\r\nFrom:", ""),
        (b"hello\r\n", b" hello \r\n", ""),
        (b"s=sel;", b"s=sel; x=99999999999;", "the signature did not verify"),
    ],
)
async def test_changes_on_the_way(before: bytes, after: bytes, reason: str) -> None:
    """RFC 6376 §6.1.3 steps 3 and 4; §3.7: every tag is signed."""
    signed = sign(MESSAGE)
    assert before in signed
    check = await only_check(signed.replace(before, after))
    assert (check.result, check.reason) == (Result.FAIL if reason else Result.PASS, reason)


async def test_a_field_that_is_named_once_more_cannot_be_added() -> None:
    """RFC 6376 §5.4, §3.5 h=: a name without a field stands for nothing, and for nothing only."""
    signed = sign(MESSAGE, template(h="from:from:to:to:subject:subject:date:date"))
    assert (await only_check(signed)).result is Result.PASS
    for added in (b"Subject: x\r\n", b"Date: x\r\n", b"from : x@example.org\r\n", b"TO:\r\n"):
        assert (await only_check(added + signed)).result is Result.FAIL
        assert (await only_check(signed.replace(b"\r\n\r\n", b"\r\n" + added + b"\r\n"))).result is Result.FAIL


async def test_a_second_from_is_not_for_people_to_see() -> None:
    """RFC 6376 §8.15: a verifier should not let an unsigned From pass."""
    check = await only_check(b"From: boss@example.org\r\n" + sign(MESSAGE))
    assert (check.result, check.reason) == (Result.POLICY, "there is a From that is not signed")
    twice = b"From: boss@example.org\r\n" + MESSAGE
    assert (await only_check(sign(twice, template(h="from:from:to")))).result is Result.PASS


async def test_only_a_part_of_the_body() -> None:
    """RFC 6376 §3.5 l=, §8.2: what comes after it is anybody's."""
    signed = sign(MESSAGE, template(l="5"))
    check = await only_check(signed)
    assert (check.result, check.covered) == (Result.PASS, False)
    check = await only_check(signed + b"Buy this!\r\n")
    assert (check.result, check.covered) == (Result.PASS, False)
    whole = sign(MESSAGE, template(l=str(len(BODY))))
    check = await only_check(whole)
    assert (check.result, check.covered) == (Result.PASS, True)
    check = await only_check(whole + b"\r\n\r\n")  # empty lines at the end are not part of it
    assert (check.result, check.covered) == (Result.PASS, True)
    check = await only_check(whole + b".")
    assert (check.result, check.covered) == (Result.PASS, False)
    check = await only_check(sign(MESSAGE, template(l="0")))
    assert (check.result, check.covered) == (Result.PASS, False)
    check = await only_check(sign(MESSAGE, template(l=str(len(BODY) + 1))))
    assert (check.result, check.reason) == (Result.PERMERROR, "l= is more than the body has")


@pytest.mark.parametrize(
    ("tags", "result", "reason"),
    [
        ({"t": NOW}, Result.PASS, ""),
        ({"t": NOW + 86_400}, Result.PASS, ""),
        ({"t": NOW + 86_401}, Result.POLICY, "the signature was made in the future"),
        ({"t": 10**20}, Result.POLICY, "the signature was made in the future"),
        ({"x": NOW + 1}, Result.PASS, ""),
        ({"x": NOW - 300}, Result.PASS, ""),
        ({"x": NOW - 301}, Result.POLICY, "the signature has expired"),
        ({"x": 10**20, "t": NOW}, Result.PASS, ""),
        ({"x": NOW, "t": NOW}, Result.NEUTRAL, "it expires before it was made"),
    ],
)
async def test_times(tags: dict[str, float], result: Result, reason: str) -> None:
    """RFC 6376 §3.5 t= and x=, §6.1.1; clocks differ."""
    signed = sign(MESSAGE, template(**{name: str(int(moment)) for name, moment in tags.items()}))
    check = await only_check(signed)
    assert (check.result, check.reason) == (result, reason)


@pytest.mark.parametrize(
    ("records", "result", "reason", "bits"),
    [
        ([record(ED25519)], Result.PERMERROR, "the key is not for rsa-sha256", 256),
        ([record(before="v=DKIM1; k=ed25519; ")], Result.PERMERROR, "p= is no Ed25519 key", 0),
        (["v=DKIM1; p="], Result.PERMERROR, "the key was revoked", 0),
        (["v=spf1 -all"], Result.PERMERROR, "the record is no key record of DKIM1", 0),
        ([record(OTHER)], Result.FAIL, "the signature did not verify", 1024),
        (["v=spf1 -all", "garbage", record()], Result.PASS, "", 1024),
        ([record(ED25519), record()], Result.PASS, "", 1024),
        ([record(OTHER), record()], Result.PASS, "", 1024),
        (["v=DKIM1; p=", record()], Result.PASS, "", 1024),
        (["x"] * 4 + [record()], Result.PERMERROR, "the key record is malformed: 'x' is not a tag and its value", 0),
    ],
)
async def test_keys(records: list[str], result: Result, reason: str, bits: int) -> None:
    """RFC 6376 §6.1.2 steps 4 to 8: malformed records are ignored, several are tried, few of them."""
    check = await only_check(sign(MESSAGE), *records)
    assert (check.result, check.reason, check.key_bits) == (result, reason, bits)


async def test_no_key() -> None:
    """RFC 6376 §6.1.2 step 3."""
    check = await only_check(sign(MESSAGE), name="another._domainkey.example.org")
    assert (check.result, check.reason) == (Result.PERMERROR, f"there is no key at {KEY}")


async def test_a_dns_that_does_not_answer() -> None:
    """RFC 6376 §6.1.2 step 2."""
    zone = zone_of()
    zone.servfail.add(KEY)
    (check,) = (await SignatureChecker(ZoneResolver(zone), ManualClock()).check(sign(MESSAGE))).dkim
    assert (check.result, check.domain) == (Result.TEMPERROR, "example.org")
    assert "SERVFAIL" in check.reason


async def test_flags_of_keys() -> None:
    """RFC 6376 §3.6.1 t=: y is said, whatever the result; s forbids an i= below d=."""
    testing = record(before="v=DKIM1; t=y; ")
    assert (await only_check(sign(MESSAGE), testing)).testing
    failed = await only_check(sign(MESSAGE) + b"x", testing)
    assert (failed.result, failed.testing) == (Result.FAIL, True)
    assert (await only_check(sign(MESSAGE), "v=DKIM1; t=y; p=")).testing
    strict = record(before="v=DKIM1; t=s; ")
    assert (await only_check(sign(MESSAGE, template(i="a@example.org")), strict)).result is Result.PASS
    below = await only_check(sign(MESSAGE, template(i="a@sub.example.org")), strict)
    assert (below.result, below.reason) == (Result.PERMERROR, "the key is for i= of d= itself only")


async def test_short_keys() -> None:
    """RFC 8301 §3.2: below 1024 bits for nobody; what more we want is our policy."""
    checker = SignatureChecker(ZoneResolver(zone_of()), ManualClock(), min_rsa_bits=2048)
    (check,) = (await checker.check(sign(MESSAGE))).dkim
    assert (check.result, check.reason, check.key_bits) == (Result.POLICY, "the key has 1024 bits only", 1024)
    checker = SignatureChecker(ZoneResolver(zone_of(record(ED25519))), ManualClock(), min_rsa_bits=2048)
    (check,) = (await checker.check(sign(MESSAGE, template(a="ed25519-sha256"), ED25519))).dkim
    assert check.result is Result.PASS


async def test_rsa_with_sha_1_has_failed_for_good() -> None:
    """RFC 8301 §3.1."""
    check = await only_check(sign(MESSAGE, template(a="rsa-sha1")))
    assert (check.result, check.reason) == (Result.PERMERROR, "rsa-sha1 is not used any more")


@pytest.mark.parametrize(
    ("text", "domain", "reason"),
    [
        ("nonsense", "", "the signature is malformed: 'nonsense' is not a tag and its value"),
        ("v=1; v=1", "", "the signature is malformed: the tag v= is there twice"),
        (template(without=["v"]), "example.org", "v= is missing"),
        (template(without=["d"]), "", "d= is missing"),
        (template(v="2"), "example.org", "its version is '2', not 1"),
        (template(d="evil(.example)"), "", "d= has 'evil(.example)', which is no domain"),
        (template(h="from:to:x y"), "example.org", "h= has what is no field name"),
    ],
)
async def test_what_cannot_be_read(text: str, domain: str, reason: str) -> None:
    """RFC 6376 §6.1.1, and RFC 8601 §2.7.1 for the word: neutral."""
    check = await only_check(sign(MESSAGE, text))
    assert (check.result, check.domain, check.reason) == (Result.NEUTRAL, domain, reason)


async def test_international_names() -> None:
    """RFC 8616 §5: U-labels are asked for as A-labels, and hashed as they stand."""
    signed = sign(MESSAGE, template(d="bücher.example", s="prüf", i="jürgen@mail.bücher.example"))
    check = await only_check(signed, name="xn--prf-ioa._domainkey.xn--bcher-kva.example")
    assert check.result is Result.PASS
    assert (check.domain, check.selector) == ("xn--bcher-kva.example", "xn--prf-ioa")
    assert check.identity == "jürgen@mail.xn--bcher-kva.example"


async def test_the_signatures_of_others_are_fields_too() -> None:
    """RFC 6376 §3.5: they may be signed; §3.7: and are not their own."""
    inner = sign(MESSAGE)
    outer = sign(inner, template(h="from:dkim-signature"))
    found = (await checker_of().check(outer)).dkim
    assert [check.result for check in found] == [Result.PASS, Result.PASS]
    # Named once more than there is one, none may be added but the one that says so.
    guarded = sign(inner, template(h="from:dkim-signature:dkim-signature"))
    assert [check.result for check in (await checker_of().check(guarded)).dkim] == [Result.PASS, Result.PASS]
    added = sign(guarded)
    assert [check.result.value for check in (await checker_of().check(added)).dkim] == ["pass", "fail", "pass"]


async def test_marks_tell_signatures_apart() -> None:
    """RFC 6008 §4: eight characters, or as many as it takes."""
    alike = [b"DKIM-Signature: v=1; d=a.org; b=%b\r\n" % text for text in (b"A" * 40 + b"B", b"A" * 40 + b"C")]
    found = (await checker_of().check(b"".join(alike) + MESSAGE)).dkim
    assert [check.mark for check in found] == ["A" * 40 + "B", "A" * 40 + "C"]
    same = alike[0] * 2
    assert [check.mark for check in (await checker_of().check(same + MESSAGE)).dkim] == ["A" * 8] * 2
    (short,) = (await checker_of().check(b"DKIM-Signature: b=QQ==\r\n" + MESSAGE)).dkim
    assert short.mark == "QQ=="


def domains(checks: Sequence[DkimCheck]) -> list[str]:
    return [check.domain for check in checks]


async def test_only_so_many_signatures_are_tried() -> None:
    """RFC 6376 §6.1, §8.4: junk on top does not keep those out that count."""
    junk = b"".join(b"DKIM-Signature: v=1; a=rsa-sha256; d=junk%d.example; s=x\r\n" % n for n in range(300))
    signed = sign(MESSAGE)
    found = (await checker_of().check(junk + signed)).dkim
    assert len(found) == MAX_SIGNATURES
    assert domains(found) == [f"junk{n}.example" for n in range(9)] + ["example.org"]
    assert found[-1].result is Result.PASS


async def test_those_that_could_be_aligned_go_first() -> None:
    def field(domain: bytes) -> bytes:
        return b"DKIM-Signature: v=1;\r\n\td = %b ; s=x\r\n" % domain

    header = b"From: Joe <joe@News.Example.ORG>\r\n\r\n"
    mixed = [b"a.net", b"mail.example.org", b"b.net", b"EXAMPLE.org", b"news.example.org", b"c.net"]
    checker = SignatureChecker(ZoneResolver(Zone()), ManualClock(), max_signatures=2)
    found = (await checker.check(b"".join(map(field, mixed)) + header)).dkim
    assert domains(found) == ["mail.example.org", "news.example.org"]
    checker = SignatureChecker(ZoneResolver(Zone()), ManualClock(), max_signatures=4)
    found = (await checker.check(b"".join(map(field, mixed)) + header)).dkim
    assert domains(found) == ["a.net", "mail.example.org", "example.org", "news.example.org"]


async def test_a_header_that_is_too_long() -> None:
    signed = sign(MESSAGE)
    for added, result in ((MAX_HEADER // 2, Result.PASS), (MAX_HEADER, Result.PERMERROR)):
        message = signed.replace(b"Subject:", b"X: " + b"x\r\n " * (added // 4) + b"\r\nSubject:")
        for content in (message, in_pieces(message, 50_000)):
            (check,) = (await checker_of().check(content)).dkim
            assert check.result is result
    assert check.reason == "the header is too long to be verified"
    message = message.replace(b"DKIM-Signature", b"ARC-Seal")
    found = await checker_of().check(message)
    assert (found.dkim, found.arc.result) == ((), Result.FAIL)
    found = await checker_of().check(b"X: y\r\n" * 20_000 + signed)  # short, but of too many fields
    assert found.dkim == ()


async def test_where_a_header_ends() -> None:
    """A line that is no field ends it, as the empty line does (RFC 5322 §2.2); what follows is body."""
    body = b"no field\r\nmore: text\r\n\r\nbody\r\n"
    signed = sign(b"From: a@example.org\r\n\r\n" + body).replace(b"\r\n\r\nno field", b"\r\nno field")
    assert (await only_check(signed)).result is Result.PASS
    for content in (b"", b"\r\n", b" leading: white space\r\n\r\n", b"DKIM-Signature\r\n\r\n", b"\r\n" + signed):
        assert (await checker_of().check(content)).dkim == ()


async def test_a_body_that_no_signature_needs_is_not_read() -> None:
    read: list[int] = []

    async def pieces() -> AsyncIterator[bytes]:
        yield sign(MESSAGE) if len(read) else MESSAGE
        read.append(1)
        yield b"never needed"

    assert (await checker_of().check(pieces)).dkim == ()
    assert read == []
    read.append(1)
    (check,) = (await checker_of(name="nowhere.example").check(pieces)).dkim
    assert (check.result, len(read)) == (Result.PERMERROR, 1)


async def test_a_store_that_fails() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield sign(MESSAGE)
        raise StoreUnavailable("gone")

    with pytest.raises(StoreUnavailable):
        await checker_of().check(pieces)


class SlowResolver(ZoneResolver):
    """Answers when it is told to."""

    def __init__(self, zone: Zone) -> None:
        super().__init__(zone)
        self.waiting = 0
        self.most = 0

    async def txt(self, name: str) -> Answer[bytes]:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        for _ in range(5):
            await asyncio.sleep(0)
        self.waiting -= 1
        return await super().txt(name)


async def test_keys_are_asked_for_at_the_same_time_and_once() -> None:
    message = MESSAGE
    for selector in ("sel", "one", "two", "sel"):
        message = sign(message, template(s=selector))
    resolver = SlowResolver(zone_of())
    await SignatureChecker(resolver, ManualClock()).check(message)
    assert sorted(resolver.zone.asked) == [
        ("TXT", f"{selector}._domainkey.example.org") for selector in ("one", "sel", "two")
    ]
    assert resolver.most == 3


async def test_a_body_is_hashed_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many lengths and signatures there are: once for each canonicalisation that is used."""
    hashed = 0

    class Counting:
        def __init__(self) -> None:
            self.inner = sha256()

        def update(self, data: bytes) -> None:
            nonlocal hashed
            hashed += len(data)
            self.inner.update(data)

        def digest(self) -> bytes:
            return self.inner.digest()

    monkeypatch.setattr("postroom.mailauth.dkim.body.sha256", Counting)
    message = HEADER + b"\r\n\r\n" + b"text\r\n" * 1000
    for n in range(8):
        message = sign(message, template(l=str(n * 100), c="relaxed/" + ("simple" if n % 2 else "relaxed")))
    found = (await checker_of().check(message)).dkim
    assert [check.result for check in found] == [Result.PASS] * 8
    assert hashed == 2 * 6000


async def test_base64_of_the_hash_is_compared_as_octets() -> None:
    digest = b64encode(sha256(BODY).digest()).decode()
    assert (await only_check(sign(MESSAGE, template(bh=f"{digest[:9]} {digest[9:]}")))).result is Result.PASS
    assert (await only_check(sign(MESSAGE, template(bh=digest[:-4] + "AAA=")))).result is Result.FAIL
