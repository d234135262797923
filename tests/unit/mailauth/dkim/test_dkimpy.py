"""What we sign, dkimpy verifies; what it signs verifies here: over generated mail (hypothesis)."""

import asyncio
from collections.abc import Iterator
from random import Random
from types import SimpleNamespace

import dkim
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes.clock import ManualClock
from tests.fakes.dkim_signer import ED25519, RSA
from tests.fakes.odd_mail import odd_message
from tests.unit.mailauth.dkim.judging import in_pieces

from postroom.dns.zone import Zone, ZoneResolver
from postroom.mailauth.dkim.checking import SignatureChecker
from postroom.mailauth.dkim.signing import sign
from postroom.mailauth.dkim.signingkey import Algorithm, SigningKey, key_record, write_key
from postroom.mailauth.model import DkimCheck, Result

KEYS = [
    SigningKey("example.org", "r1", Algorithm.RSA, RSA),
    SigningKey("example.org", "e1", Algorithm.ED25519, ED25519),
]
RECORDS = {key.name: key_record(key) for key in KEYS}
CHECKER = SignatureChecker(
    ZoneResolver(Zone.of({name: {"TXT": [f'"{text}"']} for name, text in RECORDS.items()})),
    ManualClock(2_000_000_000.0),
)
PEM = write_key(RSA)
FORMS = [(header, body) for header in (b"simple", b"relaxed") for body in (b"simple", b"relaxed")]
MANY = settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
RANDOM = st.randoms(use_true_random=False)


class BadSignature(Exception):
    """What PyNaCl raises."""


class VerifyKey:
    """As much of PyNaCl as dkimpy needs to verify Ed25519; the mathematics is not what is compared here."""

    def __init__(self, text: bytes, encoder: object) -> None:
        from base64 import b64decode

        self._key = Ed25519PublicKey.from_public_bytes(b64decode(text))

    def verify(self, digest: bytes, signature: bytes) -> None:
        try:
            self._key.verify(signature, digest)
        except InvalidSignature:
            raise BadSignature from None


@pytest.fixture(autouse=True, scope="module")
def nacl() -> Iterator[None]:
    """PyNaCl for dkimpy."""
    with pytest.MonkeyPatch.context() as patch:
        stand_in = SimpleNamespace(
            signing=SimpleNamespace(VerifyKey=VerifyKey),
            encoding=SimpleNamespace(Base64Encoder=None),
            exceptions=SimpleNamespace(BadSignatureError=BadSignature, ValueError=ValueError),
        )
        patch.setattr(dkim, "nacl", stand_in, raising=False)
        yield


def find_key(name: bytes, timeout: int = 5) -> bytes:
    return RECORDS[name.decode().removesuffix(".")].encode()


def check(message: bytes) -> DkimCheck:
    (found,) = asyncio.run(CHECKER.check(message)).dkim
    (again,) = asyncio.run(CHECKER.check(in_pieces(message, 100))).dkim
    assert again == found
    return found


@given(RANDOM)
@MANY
def test_what_we_sign(random: Random) -> None:
    message = odd_message(random)
    fields = asyncio.run(sign(message, b"", KEYS, 1_500_000_000))
    verifier = dkim.DKIM(fields + message)
    for index in range(2):
        assert verifier.verify(idx=index, dnsfunc=find_key)
    changed = (fields + message).replace(b"joe@", b"jim@")
    assert not dkim.verify(changed, dnsfunc=find_key)


@given(RANDOM, st.sampled_from(FORMS), st.booleans())
@MANY
def test_what_dkimpy_signs(random: Random, form: tuple[bytes, bytes], length: bool) -> None:
    message = odd_message(random)
    names = [b"from", b"to", b"subject", b"date", b"x-odd", b"subject", b"list-id", b"x!#$%&'*+"]
    field = dkim.sign(message, b"r1", b"example.org", PEM, canonicalize=form, include_headers=names, length=length)
    found = check(field + message)
    assert (found.result, found.covered) == (Result.PASS, True), found.reason
    after = check(field + message + b"\r\nmore")
    assert (after.result, after.covered) == (Result.PASS, False) if length else (Result.FAIL, True)
    assert check(field + message.replace(b"joe@", b"jim@")).result is Result.FAIL
