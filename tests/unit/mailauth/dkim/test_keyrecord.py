"""Key records (RFC 6376 §3.6.1, §6.1.2; RFC 8301 §3.2; RFC 8463 §4.2)."""

import re
from base64 import b64encode
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.fakes.dkim_signer import ED25519, RSA, raw_signature, record
from tests.unit.mailauth.vectors import vectors

from postroom.mailauth.dkim.keyrecord import MAX_RECORD, Key, UnusableKey, read_key

DIGEST = sha256(b"x").digest()
DATA = record(before="")[2:]


def key(text: str) -> Key:
    found = read_key(text.encode())
    assert isinstance(found, Key), found
    return found


def fault(text: str) -> UnusableKey:
    found = read_key(text.encode())
    assert isinstance(found, UnusableKey), text
    return found


def of_rsa(numbers: rsa.RSAPublicNumbers) -> str:
    """A record of an RSA key that need not have a private half."""
    data = numbers.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"p={b64encode(data).decode()}"


@pytest.mark.parametrize(
    "text",
    [
        f"v=DKIM1; k=rsa; p={DATA}",
        f"v=DKIM1; p={DATA};",
        f"p={DATA}",
        f"k=rsa; p={DATA}",
        f"v=DKIM1; h=sha1:sha256; s=email; n=any=20note; p={DATA}",
        f"v=DKIM1; h=sha512 : sha256; s=tlsrpt:*; p={DATA}",
        f"v=DKIM1; g=*; x_1=whatever; p={DATA}",
        f"v=DKIM1; p= {DATA[:20]} {DATA[20:40]}\t{DATA[40:]}",
    ],
)
def test_records_with_a_key(text: str) -> None:
    """RFC 6376 §3.6.1: defaults, lists, unknown tags and flags ignored."""
    found = key(text)
    assert (found.algorithm, found.bits, found.testing, found.strict) == ("rsa-sha256", 1024, False, False)
    assert found.verifies(raw_signature(RSA, DIGEST), DIGEST)
    assert not found.verifies(raw_signature(RSA, DIGEST), sha256(b"y").digest())
    assert not found.verifies(b"", DIGEST)


def test_ed25519() -> None:
    """RFC 8463 §4.2: the bare key; the hash is what is signed (§3)."""
    found = key(record(ED25519))
    assert (found.algorithm, found.bits) == ("ed25519-sha256", 256)
    assert found.verifies(raw_signature(ED25519, DIGEST), DIGEST)
    assert not found.verifies(b"x" * 64, DIGEST)
    assert not found.verifies(b"x", DIGEST)
    assert fault(f"v=DKIM1; k=ed25519; p={DATA}").reason == "p= is no Ed25519 key"


def test_the_bare_rsa_key() -> None:
    """RFC 6376 §3.6.1 k= speaks of an RSAPublicKey; its examples, and everybody, publish a SubjectPublicKeyInfo."""
    data = RSA.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    assert key(f"p={b64encode(data).decode()}").bits == 1024


@pytest.mark.parametrize(
    ("flags", "testing", "strict"),
    [
        ("y", True, False),
        ("s", False, True),
        ("y:s", True, True),
        ("s : y : z", True, True),
        ("z", False, False),
        ("", False, False),
    ],
)
def test_flags(flags: str, testing: bool, strict: bool) -> None:
    """RFC 6376 §3.6.1 t=."""
    found = key(f"v=DKIM1; t={flags}; p={DATA}")
    assert (found.testing, found.strict) == (testing, strict)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("v=DKIM1; p=", "the key was revoked"),
        ("v=DKIM1; p= ;", "the key was revoked"),
        ("v=DKIM1; k=rsa", "no p="),
        (f"v=DKIM2; p={DATA}", "no key record of DKIM1"),
        (f"v=DKIM1.0; p={DATA}", "no key record of DKIM1"),
        (f"v=dkim1; p={DATA}", "no key record of DKIM1"),
        (f"k=rsa; v=DKIM1; p={DATA}", "no key record of DKIM1"),
        ("v=spf1 -all", "no key record of DKIM1"),
        ("any text at all", "malformed"),
        ("", "malformed"),
        (f"v=DKIM1; p={DATA}; p={DATA}", "malformed"),
        (f"v=DKIM1; h=sha1; p={DATA}", "not for SHA-256"),
        (f"v=DKIM1; h=; p={DATA}", "not for SHA-256"),
        (f"v=DKIM1; s=tlsrpt; p={DATA}", "not for mail"),
        (f"v=DKIM1; s=; p={DATA}", "not for mail"),
        (f"v=DKIM1; k=dsa; p={DATA}", "unknown"),
        (f"v=DKIM1; k=; p={DATA}", "unknown"),
        ("v=DKIM1; p=A", "not base64"),
        ("v=DKIM1; p=A*BC", "not base64"),
        ("v=DKIM1; p=QUJD", "no RSA key"),
        ("v=DKIM1; k=ed25519; p=QUJD", "no Ed25519 key"),
        (f"v=DKIM1; k=rsa; n={'x' * MAX_RECORD}; p={DATA}", "longer than"),
    ],
)
def test_records_without_a_key(text: str, why: str) -> None:
    """RFC 6376 §3.6.1, §6.1.2 steps 5 to 8."""
    assert why in fault(text).reason


def test_a_domain_that_tests_is_excused_for_its_bad_keys_too() -> None:
    """RFC 6376 §3.6.1 t=y."""
    assert fault("v=DKIM1; t=y; p=").testing
    assert not fault("v=DKIM1; p=").testing


def test_other_kinds_of_keys() -> None:
    data = ec.generate_private_key(ec.SECP256R1()).public_key()
    text = b64encode(data.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    assert fault(f"p={text}").reason == "p= is no RSA key"


def test_sizes() -> None:
    """RFC 8301 §3.2: 1024 to 4096 bits; what is larger costs us, what is smaller costs the domain."""
    for bits, usable in (
        (512, False),
        (1016, False),
        (1024, True),
        (2048, True),
        (4096, True),
        (4104, False),
        (8192, False),
    ):
        text = of_rsa(rsa.RSAPublicNumbers(65537, (1 << bits) - 1))
        if usable:
            assert key(text).bits == bits
        else:
            assert fault(text).bits == bits


def test_exponents() -> None:
    """A large one would make verifying as dear as signing."""
    modulus = (1 << 2048) - 1
    assert key(of_rsa(rsa.RSAPublicNumbers(3, modulus))).bits == 2048
    for exponent in ((1 << 33) - 1, (1 << 1024) - 1):
        assert "exponent" in fault(of_rsa(rsa.RSAPublicNumbers(exponent, modulus))).reason


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("1024_testkey_wo_markers.pub.txt", 1024),
        ("1024_testkey_wo_markers.pub.rsa.txt", 1024),
        ("2048_testkey_wo_markers.pub.txt", 2048),
        ("2048_testkey_wo_markers.pub.rsa.txt", 2048),
        ("2048_testkey_PKCS8.key.pub.txt", 2048),
        ("test.txt", 1024),
        ("test2.txt", 1024),
    ],
)
def test_public_records_with_a_key(name: str, bits: int) -> None:
    assert key((vectors("dkim-vectors") / "data" / name).read_text().strip()).bits == bits


@pytest.mark.parametrize("name", ["badk.txt", "badversion.txt", "test_bad.txt", "test_tlsrpt.txt"])
def test_public_records_without_a_key(name: str) -> None:
    assert fault((vectors("dkim-vectors") / "data" / name).read_text().strip()).reason


def test_nothing_that_is_published_raises() -> None:
    data = DATA.encode()
    for at in range(0, len(data), 7):
        read_key(b"p=" + data[:at] + b"AAAA" + data[at + 4 :])
    assert re.match("the key record is malformed", fault("\x00").reason)
    assert isinstance(read_key(b"v=DKIM1; p=\xff"), UnusableKey)
