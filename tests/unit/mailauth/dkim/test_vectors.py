"""The examples of the standards, and the public vectors, as they stand."""

from base64 import b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.fakes.clock import ManualClock
from tests.fakes.dkim_signer import ED25519, RSA
from tests.unit.mailauth.dkim.judging import checker_of, in_pieces
from tests.unit.mailauth.vectors import vectors

from postroom.dns.zone import Zone, ZoneResolver
from postroom.mailauth.dkim.checking import SignatureChecker
from postroom.mailauth.dkim.signing import sign
from postroom.mailauth.dkim.signingkey import Algorithm, SigningKey, key_record
from postroom.mailauth.model import DkimCheck, Result

LETTER = """From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game. Are you hungry yet?

Joe.
"""
"""With one space after "game.": the RFCs are set with two, but this is what was signed."""

RFC_6376 = """DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;
      c=simple/simple; q=dns/txt; i=joe@football.example.com;
      h=Received : From : To : Subject : Date : Message-ID;
      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB
      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut
      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV
      4bmp/YzhwvcubU4=;
Received: from client1.football.example.com  [192.0.2.1]
      by submitserver.example.com with SUBMISSION;
      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)
"""
BRISBANE = (
    "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYt"
    "IxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhi"
    "tdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"
)
RFC_8463 = """DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
"""
RSA_RECORD = (
    "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi"
    "Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3"
    "Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
)
FOOTBALL = Zone.of(
    {
        "brisbane._domainkey.football.example.com": {
            "TXT": ['"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="']
        },
        "test._domainkey.football.example.com": {"TXT": [f'"{RSA_RECORD}"']},
    }
)


def wire(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


async def checks(message: bytes, zone: Zone = FOOTBALL) -> tuple[DkimCheck, ...]:
    """The same whole and in pieces of any size."""
    checker = SignatureChecker(ZoneResolver(zone), ManualClock())
    found = (await checker.check(message)).dkim
    for size in (1, 7, 100):
        assert (await checker.check(in_pieces(message, size))).dkim == found
    return found


async def test_the_example_of_rfc_6376() -> None:
    """RFC 6376 §A.2, §A.3, with the key of RFC 6376 §C."""
    (check,) = await checks(
        wire(RFC_6376 + LETTER), Zone.of({"brisbane._domainkey.example.com": {"TXT": [f'"{BRISBANE}"']}})
    )
    assert check == DkimCheck(
        Result.PASS, "example.com", "brisbane", "rsa-sha256", "joe@football.example.com", "AuUoFEfD", key_bits=1024
    )


async def test_the_example_of_rfc_8463() -> None:
    """RFC 8463 §A.3: two signatures with different algorithms."""
    ed25519, rsa = await checks(wire(RFC_8463 + LETTER))
    assert ed25519 == DkimCheck(
        Result.PASS, "football.example.com", "brisbane", "ed25519-sha256", "@football.example.com", "/gCrinpc",
        key_bits=256,
    )  # fmt: skip
    assert rsa == DkimCheck(
        Result.PASS, "football.example.com", "test", "rsa-sha256", "@football.example.com", "F45dVWDf", key_bits=1024
    )


async def test_the_keys_of_rfc_8463_sign_alike() -> None:
    """RFC 8463 §A.1, §A.2: the same keys give the records that are printed, and signatures that verify."""
    assert key_record(SigningKey("football.example.com", "brisbane", Algorithm.ED25519, ED25519)).endswith(
        "p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    )
    keys = [
        SigningKey("football.example.com", "brisbane", Algorithm.ED25519, ED25519),
        SigningKey("football.example.com", "test", Algorithm.RSA, RSA),
    ]
    message = wire(LETTER)
    signed = await sign(message, b"", keys, 1528637909.7) + message
    assert [check.result for check in await checks(signed)] == [Result.PASS, Result.PASS]
    assert signed.count(b"bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=") == 2


@pytest.mark.parametrize(
    ("name", "results"),
    [
        ("rfc6376.signed.msg", ["pass", "pass"]),
        ("rfc6376.signed.rsa.msg", ["pass"]),
        ("rfc6376.signed.no_t.msg", ["fail"]),  # the signature of the one before, with another t= and x=
    ],
)
async def test_signed_by_others(name: str, results: list[str]) -> None:
    """Public vectors: simple canonicalisation, folds with white space before them."""
    message = wire((vectors("dkim-vectors") / "data" / name).read_text())
    assert [check.result.value for check in await checks(message)] == results


async def test_a_signature_of_exim() -> None:
    """Tags folded at odd places, an Ed25519 key."""
    folder = vectors("dkim-vectors") / "data"
    zone = Zone.of({"sed._domainkey.test.ex": {"TXT": [f'"{(folder / "eximtest.dns").read_text().strip()}"']}})
    (check,) = await checks(wire((folder / "ed25519test2.msg").read_text()), zone)
    assert (check.result, check.domain, check.key_bits) == (Result.PASS, "test.ex", 256)


async def test_a_domain_that_is_none() -> None:
    """A d= that a careless reader takes for another domain."""
    (check,) = await checks(wire((vectors("dkim-vectors") / "data" / "test.message.baddomain").read_text()))
    assert (check.result, check.domain) == (Result.NEUTRAL, "")


async def test_an_ed25519_key_of_rfc_8032() -> None:
    """The public half of the key in RFC 8032 §7.1, test 1, is the one in RFC 8463 §A.2."""
    text = (vectors("dkim-vectors") / "data" / "rfc8032_7_1.key").read_text()
    key = Ed25519PrivateKey.from_private_bytes(b64decode(text))
    assert key.public_key() == ED25519.public_key()


async def test_mail_that_is_not_signed() -> None:
    found = await checker_of().check(wire(LETTER))
    assert (found.dkim, found.arc.result) == ((), Result.NONE)
