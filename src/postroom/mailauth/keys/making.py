"""Makes key pairs, names them, and reads those that other programs made (RFC 6376 §3.6.1, RFC 8301 §3.2, RFC 8463)."""

import base64
import time
from collections.abc import Callable

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from postroom.mail.value import value
from postroom.mailauth.keys.model import ED25519, RSA

RSA_BITS = 2048
"""RFC 8301 §3.2: signers should use at least 2048 bits. Longer ones do not fit one string, nor some name servers."""
LEAST_BITS = 1024  # RFC 8301 §3.2: verifiers must take nothing below for valid
MOST_BITS = 4096  # RFC 8301 §3.2: verifiers need not take longer ones
MAX_PEM = 64 * 1024

_LETTERS = {RSA: "r", ED25519: "e"}
_TAIL = "abcdefghjkmnpqrstvwxyz23456789"
_TAIL_LENGTH = 5

PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@value(frozen=True, slots=True)
class Made:
    """A key pair: the algorithm it signs by, its private half (PKCS #8 DER, RFC 5958) and what its record says."""

    algorithm: str
    private: bytes
    record: str

    def __repr__(self) -> str:
        return f"Made({self.algorithm!r}, {self.record!r})"


def make_pair(algorithm: str) -> Made:
    """A new key pair. For RSA it takes some 100 ms of CPU, most of it without Python's lock: call it in a thread."""
    private: PrivateKey
    if algorithm == RSA:
        private = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    elif algorithm == ED25519:
        private = ed25519.Ed25519PrivateKey.generate()
    else:
        raise ValueError(f"{algorithm!r} is no algorithm that we sign by")
    return _made(private)


def read_pem(text: bytes) -> Made:
    """The key pair of a PEM file, as opendkim-genkey or openssl make it. ValueError, without any of it, if none."""
    if len(text) > MAX_PEM:
        raise ValueError("it is too long for a private key")
    try:
        private = serialization.load_pem_private_key(text, password=None)
    except TypeError as error:
        raise ValueError("it is encrypted with a passphrase: take that off first, as with openssl pkey") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("it is not a private key in PEM form") from error
    if isinstance(private, rsa.RSAPrivateKey):
        if not LEAST_BITS <= private.key_size <= MOST_BITS:
            raise ValueError(
                f"it is an RSA key of {private.key_size} bits: {LEAST_BITS} to {MOST_BITS} are verified everywhere "
                "(RFC 8301 §3.2)"
            )
        return _made(private)
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return _made(private)
    raise ValueError("it is neither an RSA nor an Ed25519 key, and DKIM has no others (RFC 8463 §3)")


def _made(private: PrivateKey) -> Made:
    encoded = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    if isinstance(private, rsa.RSAPrivateKey):
        public = private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return Made(RSA, encoded, _record("rsa", public))
    # RFC 8463 §4.2: the bare octets, without the structure around them
    return Made(ED25519, encoded, _record("ed25519", private.public_key().public_bytes_raw()))


def _record(kind: str, public: bytes) -> str:
    return f"v=DKIM1; k={kind}; p={base64.b64encode(public).decode('ascii')}"


def new_selector(algorithm: str, now: float, choose: Callable[[str], str]) -> str:
    """A selector that tells algorithm and day, such as ``r20261126k7x2m``. Nobody can guess it, so that nobody asks for
    it, and remembers that it is not there, before it is used. ``choose`` picks one of some letters by chance.
    """
    day = time.strftime("%Y%m%d", time.gmtime(now))
    return f"{_LETTERS[algorithm]}{day}{''.join([choose(_TAIL) for _ in range(_TAIL_LENGTH)])}"
