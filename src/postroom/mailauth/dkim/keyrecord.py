"""Key records: the text published for a selector, read into a key that verifies (RFC 6376 §3.6.1, RFC 8463 §4.2)."""

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from postroom.mail.value import value
from postroom.mailauth.dkim.signature import ED25519_SHA256, RSA_SHA256
from postroom.mailauth.dkim.tags import TagFault, listed, read_tags, without_space

MAX_RECORD = 4096
"""Octets of a record that is read. A key of 4096 bits takes 750."""
MIN_RSA_BITS = 1024
"""What is smaller never counts (RFC 8301 §3.2)."""
MAX_RSA_BITS = 4096
"""The largest that a verifier must take (RFC 8301 §3.2): a hostile key is to cost no more than a good one."""
MAX_EXPONENT = (1 << 32) - 1
"""All that are in use are far smaller; the work of verifying grows with it."""

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_PADDING = PKCS1v15()
_PREHASHED = Prehashed(SHA256())
_ALGORITHMS = {"rsa": RSA_SHA256, "ed25519": ED25519_SHA256}


@value(frozen=True, slots=True)
class Key:
    """A public key. ``algorithm`` is the a= that it serves; ``testing`` is t=y, ``strict`` t=s: no i= below d=."""

    public: RSAPublicKey | Ed25519PublicKey
    algorithm: str
    bits: int
    testing: bool
    strict: bool

    def verifies(self, signature: bytes, digest: bytes) -> bool:
        """Whether ``signature`` is that of a SHA-256 ``digest`` (RFC 6376 §3.3.2, RFC 8463 §3)."""
        try:
            if isinstance(self.public, RSAPublicKey):
                self.public.verify(signature, digest, _PADDING, _PREHASHED)
            else:
                self.public.verify(signature, digest)
        except InvalidSignature:
            return False
        return True


@value(frozen=True, slots=True)
class UnusableKey:
    """A record that gives no key, and why. ``bits`` is the size of a key that is too small or too large.

    ``testing`` is its t=y, which excuses the domain all the same.
    """

    reason: str
    bits: int = 0
    testing: bool = False


class _Unusable(Exception):
    def __init__(self, reason: str, bits: int = 0) -> None:
        super().__init__(reason)
        self.bits = bits


def read_key(record: bytes) -> Key | UnusableKey:
    """The key that a TXT record publishes, its strings joined. Nothing raises."""
    if len(record) > MAX_RECORD:
        return UnusableKey(f"the key record is longer than {MAX_RECORD} octets")
    testing = False
    try:
        tags = read_tags(record)
        _check_version(tags)
        flags = listed(tags.get("t", ""))
        testing = "y" in flags
        return _read(tags, testing=testing, strict="s" in flags)
    except TagFault as fault:
        return UnusableKey(f"the key record is malformed: {fault}")
    except _Unusable as fault:
        return UnusableKey(str(fault), fault.bits, testing)


def _check_version(tags: Mapping[str, str]) -> None:
    """v= is the first tag where it is there, and this one (RFC 6376 §3.6.1)."""
    version = tags.get("v")
    if version is not None and (version != "DKIM1" or next(iter(tags)) != "v"):
        raise _Unusable("the record is no key record of DKIM1")


def _read(tags: Mapping[str, str], *, testing: bool, strict: bool) -> Key:
    if "h" in tags and "sha256" not in listed(tags["h"]):  # RFC 6376 §3.6.1, §6.1.2 step 6
        raise _Unusable("the key is not for SHA-256")
    if not {"*", "email"}.intersection(listed(tags.get("s", "*"))):  # RFC 6376 §3.6.1 s=
        raise _Unusable("the key is not for mail")
    kind = tags.get("k", "rsa")
    if kind not in _ALGORITHMS:
        raise _Unusable(f"the key type {kind[:20]!r} is unknown")
    if "p" not in tags:
        raise _Unusable("the key record has no p=")
    if not tags["p"]:  # RFC 6376 §6.1.2 step 7
        raise _Unusable("the key was revoked")
    public, bits = (_rsa if kind == "rsa" else _ed25519)(_decoded(tags["p"]))
    return Key(public, _ALGORITHMS[kind], bits, testing, strict)


def _decoded(text: str) -> bytes:
    text = without_space(text)
    try:
        if not _BASE64.fullmatch(text):
            raise _Unusable("p= is not base64")
        return b64decode(text, validate=True)
    except binascii.Error:
        raise _Unusable("p= is not base64") from None


def _rsa(data: bytes) -> tuple[RSAPublicKey, int]:
    """A SubjectPublicKeyInfo, as all publish it, or the bare RSAPublicKey that RFC 6376 §3.6.1 speaks of."""
    try:
        public = load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise _Unusable("p= is no RSA key") from None
    if not isinstance(public, RSAPublicKey):
        raise _Unusable("p= is no RSA key")
    bits = public.key_size
    if bits < MIN_RSA_BITS:  # RFC 8301 §3.2
        raise _Unusable(f"the RSA key has {bits} bits only", bits)
    if bits > MAX_RSA_BITS:
        raise _Unusable(f"the RSA key has {bits} bits, more than {MAX_RSA_BITS}", bits)
    if public.public_numbers().e > MAX_EXPONENT:
        raise _Unusable("the RSA key has too large an exponent", bits)
    return public, bits


def _ed25519(data: bytes) -> tuple[Ed25519PublicKey, int]:
    """The 32 octets of the key itself (RFC 8463 §4.2)."""
    if len(data) != 32:
        raise _Unusable("p= is no Ed25519 key")
    return Ed25519PublicKey.from_public_bytes(data), 256
