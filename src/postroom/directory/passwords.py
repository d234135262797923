"""Passwords at rest: prepared, hashed and verified with argon2id (RFC 9106, RFC 8265 §4), and kept for SCRAM.

Hashing, verifying and deriving take some 25 ms of a processor each, and hashing 19 MiB: call them in a thread.
"""

import hmac
import unicodedata
from hashlib import sha256

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from postroom.directory import shacrypt
from postroom.directory.model import Logins, NewPassword, ScramKey
from postroom.mail.address import Address
from postroom.protocol.sasl.exchange import ScramSecret
from postroom.protocol.sasl.prepare import saslprep
from postroom.protocol.sasl.scram_words import ALGORITHMS, salted, secret_of

MAX_PASSWORD = 1024  # octets

ITERATIONS = 50_000
"""How often SCRAM hashes a password (RFC 7677 §3 asks for 4096 at least). The client does it at each login, we only
when a password is set: 10 ms for a library in C, while who steals the keys needs twelve times as long for each guess as
with the minimum. Cyrus SASL, by which many programs log in, refuses more than 65,536.
"""

_SALT = 16  # octets
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)  # DESIGN §7; memory in KiB

NOBODYS_HASH = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGxpdmVzIGhlcmU$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
"""No password is known to have it. Verifying against it takes as long as against a real one."""


class HashTrouble(Exception):
    """The stored hash is damaged, or there is no memory to verify it: the machine's fault, never the client's."""


def hash_password(text: str) -> str:
    """What to store for a new password. ValueError, saying what is wrong, if it cannot be one."""
    return _HASHER.hash(prepare_password(text))


def new_password(text: str, address: Address, secret: bytes, logins: Logins) -> NewPassword:
    """All that is stored for a new password of the account that has ``logins`` now. ValueError if it cannot be one."""
    staying = Logins(app_passwords=logins.app_passwords)
    return NewPassword(hash_password(text), scram_keys(text, address.key, secret, staying))


def is_hash(stored: str) -> bool:
    """Whether ``verify_password`` knows this kind of hash."""
    return stored.startswith("$argon2") or shacrypt.is_hash(stored)


def verify_password(stored: str, prepared: bytes) -> bool:
    """Whether a prepared password is the one that was stored. ``HashTrouble`` if that cannot be found out."""
    if stored.startswith(shacrypt.PREFIXES):
        try:
            return shacrypt.verify(stored, prepared)
        except ValueError as error:
            raise HashTrouble(str(error)) from error
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


# SCRAM.


def scram_keys(text: str, key: str, secret: bytes, logins: Logins) -> tuple[ScramKey, ...]:
    """The keys of a password of the account ``key``, beside those in ``logins``; none if SCRAM cannot send it.

    RFC 5802 §2.2 wants it prepared by SASLprep, which maps more characters to one than RFC 8265 does: what is one
    password for PLAIN, however it was typed, is one for SCRAM too.
    """
    try:
        prepared = saslprep(text).encode()
    except ValueError:
        return ()
    known = [*logins.keys, *(each for app in logins.app_passwords for each in app.keys)]
    made = []
    for algorithm in ALGORITHMS:
        iterations = next((each.iterations for each in known if each.algorithm == algorithm), ITERATIONS)
        salt = scram_salt(algorithm, key, secret)
        kept = secret_of(algorithm, salted(algorithm, prepared, salt, iterations))
        made.append(ScramKey(algorithm, salt, iterations, kept.stored_key, kept.server_key))
    return tuple(made)


def scram_salt(algorithm: str, key: str, secret: bytes) -> bytes:
    """The salt of an account, or of nobody: random to whoever has not the store's secret (docs/adr/0009).

    So a name has the same salt before there is such an account, while there is, and after (RFC 4422 §3.6).
    """
    return _made_up("salt", algorithm, key, secret)[:_SALT]


def nobodys_secret(algorithm: str, key: str, secret: bytes) -> ScramSecret:
    """What no password is known to have, and looks no different from one that has."""
    return secret_of(algorithm, _made_up("password", algorithm, key, secret))


def _made_up(what: str, algorithm: str, key: str, secret: bytes) -> bytes:
    return hmac.digest(secret, "\0".join((what, algorithm, key)).encode("utf-8", "surrogatepass"), sha256)
