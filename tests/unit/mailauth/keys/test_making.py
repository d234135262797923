"""New key pairs, their names, and keys of other programs."""

import random
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.fakes.letters import NOON

from postroom.mailauth.dkim.keyrecord import Key, read_key
from postroom.mailauth.keys.making import load_pair, make_pair, new_selector, read_pem
from postroom.mailauth.keys.model import ED25519, RSA, KeyPair


@pytest.mark.parametrize(("algorithm", "bits"), [(RSA, 2048), (ED25519, 256)])
def test_what_is_made_signs_and_verifies_by_its_record(algorithm: str, bits: int) -> None:
    made = make_pair(algorithm)
    assert made.algorithm == algorithm
    assert "PRIVATE" not in repr(made)
    signing = load_pair(KeyPair("example.org", "s", algorithm, made.record, NOON), made.private)
    public = read_key(made.record.encode())
    assert isinstance(public, Key)
    assert public.bits == bits
    assert public.verifies(signing.sign(b"d" * 32), b"d" * 32)
    assert signing.name == "s._domainkey.example.org"


def test_selectors_tell_algorithm_and_day_and_cannot_be_guessed() -> None:
    chance = random.Random(1)
    made = {new_selector(RSA, 1_795_000_000.0, chance.choice) for _ in range(100)}
    assert len(made) == 100
    assert all(selector.startswith("r20261118") and selector.isalnum() and len(selector) == 14 for selector in made)
    assert new_selector(ED25519, 1_795_000_000.0, chance.choice).startswith("e20261118")


def test_a_key_of_openssl_is_read() -> None:
    pem = subprocess.run(
        ["openssl", "genrsa", "-traditional", "2048"], check=True, capture_output=True, timeout=60
    ).stdout
    assert b"RSA PRIVATE KEY" in pem
    assert read_pem(pem).algorithm == RSA


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes = b"") -> bytes:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def test_what_cannot_sign_is_refused_without_showing_it() -> None:
    unfit = [
        _pem(rsa.generate_private_key(65537, 2048), b"passphrase"),
        _pem(ec.generate_private_key(ec.SECP256R1())),
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"no key",
        b"x" * 100_000,
    ]
    for pem in unfit:
        with pytest.raises(ValueError, match=r".") as caught:
            read_pem(pem)
        assert "AAAA" not in str(caught.value)
