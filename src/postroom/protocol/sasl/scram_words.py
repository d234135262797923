"""What the two sides of SCRAM share: the hashes, the attributes of a message, the names of its errors (RFC 5802)."""

import hmac
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Mapping
from hashlib import pbkdf2_hmac, sha1, sha256
from types import MappingProxyType

from postroom.protocol.sasl.exchange import ScramSecret

ALGORITHMS: Mapping[str, str] = MappingProxyType({"SHA-256": "sha256", "SHA-1": "sha1"})
"""What SCRAM calls a hash, and what Python does; the strongest first."""

_HASHES = {"SHA-256": sha256, "SHA-1": sha1}

PLUS = "-PLUS"
BINDINGS = ("tls-exporter", "tls-server-end-point")  # RFC 9266, RFC 5929 §4; the best first

INVALID_ENCODING = b"e=invalid-encoding"
EXTENSIONS_NOT_SUPPORTED = b"e=extensions-not-supported"
INVALID_PROOF = b"e=invalid-proof"
BINDINGS_DONT_MATCH = b"e=channel-bindings-dont-match"
SERVER_DOES_SUPPORT_BINDING = b"e=server-does-support-channel-binding"
BINDING_NOT_SUPPORTED = b"e=channel-binding-not-supported"
UNSUPPORTED_BINDING = b"e=unsupported-channel-binding-type"
INVALID_USERNAME = b"e=invalid-username-encoding"
OTHER_ERROR = b"e=other-error"


def mechanism_name(algorithm: str, *, plus: bool) -> str:
    """RFC 5802 §4."""
    return f"SCRAM-{algorithm}{PLUS if plus else ''}"


def salted(algorithm: str, password: bytes, salt: bytes, iterations: int) -> bytes:
    """SaltedPassword (RFC 5802 §3) of a prepared password. Slow on purpose."""
    return pbkdf2_hmac(ALGORITHMS[algorithm], password, salt, iterations)


def secret_of(algorithm: str, salted_password: bytes, credential: str = "") -> ScramSecret:
    """What a server keeps: from it nobody can log in, unlike from the SaltedPassword."""
    stored = digest(algorithm, client_key(algorithm, salted_password))
    return ScramSecret(stored, sign(algorithm, salted_password, b"Server Key"), credential)


def client_key(algorithm: str, salted_password: bytes) -> bytes:
    """ClientKey (RFC 5802 §3)."""
    return sign(algorithm, salted_password, b"Client Key")


def sign(algorithm: str, key: bytes, message: bytes) -> bytes:
    """HMAC()."""
    return hmac.digest(key, message, ALGORITHMS[algorithm])


def digest(algorithm: str, data: bytes) -> bytes:
    """H()."""
    return _HASHES[algorithm](data).digest()


def exclusive_or(one: bytes, other: bytes) -> bytes:
    """XOR of two octet strings of the same length."""
    return bytes([a ^ b for a, b in zip(one, other, strict=True)])


def read_base64(text: bytes) -> bytes:
    """The octets that base64 encodes; ValueError for anything else, and for nothing."""
    try:
        data = a2b_base64(text, strict_mode=True)
    except Base64Error as error:
        raise ValueError("it is not base64") from error
    if not data:
        raise ValueError("it is empty")
    return data


def read_attributes(message: bytes, wanted: str, *, last: str = "") -> list[bytes]:
    """The values of the ``wanted`` attributes, which open the message in this order; extensions are passed over.

    With ``last`` that attribute ends the message and comes last in the result. ValueError, quoting nothing, if the
    message is not of this kind.
    """
    parts = message.split(b",")
    if len(parts) < len(wanted) + len(last):
        raise ValueError("attributes are missing")
    extensions = parts[len(wanted) : -1] if last else parts[len(wanted) :]
    for name, part in [*zip(wanted, parts, strict=False), *([(last, parts[-1])] if last else [])]:
        if part[:2] != f"{name}=".encode():
            raise ValueError(f"the attribute {name} is not where it belongs")
    if any(len(part) < 3 or part[1:2] != b"=" or not part[:1].isalpha() for part in extensions):
        raise ValueError("an extension has not the form of one")
    if any(part.startswith(b"m=") for part in extensions):  # RFC 5802 §5.1
        raise ValueError("it asks for an extension that we have not")
    chosen = [*parts[: len(wanted)], *([parts[-1]] if last else [])]
    return [part[2:] for part in chosen]


def read_nonce(text: bytes, limit: int) -> str:
    """A nonce: printable ASCII without commas (RFC 5802 §7). ValueError if it is something else."""
    if not 0 < len(text) <= limit or any(not 0x21 <= octet <= 0x7E for octet in text):
        raise ValueError("the nonce is empty, too long or not printable ASCII")
    return text.decode("ascii")


def quote_name(name: str) -> bytes:
    """A saslname (RFC 5802 §5.1)."""
    return name.replace("=", "=3D").replace(",", "=2C").encode()


def unquote_name(quoted: bytes) -> str:
    """The name in a saslname; ValueError if it is none."""
    parts = quoted.split(b"=")
    if any(part[:2] not in {b"2C", b"3D"} for part in parts[1:]):
        raise ValueError("the name has an = that quotes nothing")
    name = parts[0] + b"".join([(b"," if part[:2] == b"2C" else b"=") + part[2:] for part in parts[1:]])
    if not name or b"\x00" in name:
        raise ValueError("the name is empty or has a NUL")
    return name.decode("utf-8")  # a UnicodeDecodeError is a ValueError
