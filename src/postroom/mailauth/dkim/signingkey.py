"""Keys to sign with: made, read, written, and the record of each for the DNS (RFC 6376 §3.6.1, RFC 8463 §4.2)."""

from base64 import b64encode
from dataclasses import field
from enum import Enum

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from postroom.mail.value import value
from postroom.mailauth.dkim.keyrecord import MAX_RSA_BITS, MIN_RSA_BITS
from postroom.mailauth.dkim.signature import ED25519_SHA256, RSA_SHA256, key_name

RSA_BITS = 2048
"""What we make (RFC 8301 §3.2: signers should use at least so many); longer ones fit no single TXT answer well."""

_PADDING = PKCS1v15()
_PREHASHED = Prehashed(SHA256())

PrivateKey = RSAPrivateKey | Ed25519PrivateKey


class Algorithm(Enum):
    """How signatures are made, in the words of a= (RFC 6376 §3.3.2, RFC 8463 §3)."""

    RSA = RSA_SHA256
    ED25519 = ED25519_SHA256


@value(frozen=True, slots=True)
class SigningKey:
    """A private key under the name where its public half is published. ``domain`` and ``selector`` are lower-case
    A-labels. It never shows the key.
    """

    domain: str
    selector: str
    algorithm: Algorithm
    private: PrivateKey = field(repr=False)

    @property
    def name(self) -> str:
        """Where its record belongs (RFC 6376 §3.6.2.1)."""
        return key_name(self.selector, self.domain)

    def sign(self, digest: bytes) -> bytes:
        """The signature of a SHA-256 digest. A quarter of a millisecond of CPU for RSA-2048; other threads go on."""
        if isinstance(self.private, RSAPrivateKey):
            return self.private.sign(digest, _PADDING, _PREHASHED)
        return self.private.sign(digest)


def make_key(algorithm: Algorithm, bits: int = RSA_BITS) -> PrivateKey:
    """A new key; ``bits`` is for RSA. Making one takes some tenths of a second: not in an event loop."""
    if algorithm is Algorithm.ED25519:
        return Ed25519PrivateKey.generate()
    return generate_private_key(65537, bits)  # RFC 6376 §3.3.2 on the exponent


def load_key(pem: bytes, password: bytes | None = None) -> PrivateKey:
    """A key from PEM, PKCS #8 or the older form of RSA keys. ValueError, without any of the key, if it is unfit."""
    try:
        private = load_pem_private_key(pem, password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("this is no private key in PEM, or the password is not that of the key") from None
    if isinstance(private, Ed25519PrivateKey):
        return private
    if not isinstance(private, RSAPrivateKey):
        raise ValueError("DKIM signs with RSA or Ed25519 keys only")
    if not MIN_RSA_BITS <= private.key_size <= MAX_RSA_BITS:  # RFC 8301 §3.2
        raise ValueError(f"an RSA key of {private.key_size} bits: {MIN_RSA_BITS} to {MAX_RSA_BITS} can be verified")
    return private


def write_key(private: PrivateKey) -> bytes:
    """The key in PEM (PKCS #8), not encrypted."""
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def algorithm_of(private: PrivateKey) -> Algorithm:
    """What the key signs with."""
    return Algorithm.RSA if isinstance(private, RSAPrivateKey) else Algorithm.ED25519


def key_record(key: SigningKey) -> str:
    """The TXT record that belongs at ``key.name`` (RFC 6376 §3.6.1), to be cut into strings of 255 octets.

    h= keeps the key out of SHA-1 signatures; t=s is recommended, as we never sign for an i= below d=.
    """
    public = key.private.public_key()
    if key.algorithm is Algorithm.RSA:
        kind, data = "rsa", public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        kind, data = "ed25519", public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return f"v=DKIM1; k={kind}; h=sha256; t=s; p={b64encode(data).decode()}"
