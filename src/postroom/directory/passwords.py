"""Passwords at rest: prepared, hashed and verified with argon2id (RFC 9106, RFC 8265 §4).

Hashing and verifying take some 25 ms of a processor and 19 MiB each: call them in a thread.
"""

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

MAX_PASSWORD = 1024  # octets

_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)  # DESIGN §7; memory in KiB

NOBODYS_HASH = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGxpdmVzIGhlcmU$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
"""No password is known to have it. Verifying against it takes as long as against a real one."""


class HashTrouble(Exception):
    """The stored hash is damaged, or there is no memory to verify it: the machine's fault, never the client's."""


def hash_password(text: str) -> str:
    """What to store for a new password. ValueError, saying what is wrong, if it cannot be one."""
    return _HASHER.hash(prepare_password(text))


def verify_password(stored: str, prepared: bytes) -> bool:
    """Whether a prepared password is the one that was stored. ``HashTrouble`` if that cannot be found out."""
    try:
        return _HASHER.verify(stored, prepared)
    except VerifyMismatchError:
        return False
    except (VerificationError, InvalidHashError) as error:  # no memory, or a damaged hash: no fault of the client
        raise HashTrouble(str(error)) from error


def prepare_password(text: str) -> bytes:
    """The one form of a password, however it was typed: RFC 8265 §4.2.2, but for its table of unassigned characters.

    Raises ValueError, without quoting it, for an empty or overlong password and one with control characters.
    """
    if not text.isascii():
        spaced = "".join([" " if unicodedata.category(character) == "Zs" else character for character in text])
        text = unicodedata.normalize("NFC", spaced)
    if not text:
        raise ValueError("the password is empty")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in text):
        raise ValueError("the password has a control character")
    prepared = text.encode()
    if len(prepared) > MAX_PASSWORD:
        raise ValueError(f"the password is longer than {MAX_PASSWORD} octets")
    return prepared
