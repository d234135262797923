"""App passwords: what they look like, how one is recognised, and for what it may be used."""

import hmac
import secrets
from collections.abc import Iterable
from hashlib import sha256

from postroom.directory.model import AppPassword, Logins
from postroom.directory.passwords import scram_keys

_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # 32: without l, o, 0 and 1
_GROUPS, _GROUP = 5, 5
TOUCHED = 3600.0
"""Seconds between two notes that an app password was used."""


def invent_app_password() -> str:
    """A new one, 125 bits: five groups of five letters that a person can copy."""
    return "-".join(["".join([secrets.choice(_LETTERS) for _ in range(_GROUP)]) for _ in range(_GROUPS)])


def make_app_password(
    text: str, *, key: str, label: str, protocols: tuple[str, ...], secret: bytes, logins: Logins, now: float
) -> AppPassword:
    """What is stored of it for the account ``key``, which has ``logins`` now. Takes some 25 ms: call it in a thread."""
    keys = scram_keys(text, key, secret, logins)
    return AppPassword(0, label, protocols, digest_of(text.encode()), now, None, keys)


def digest_of(prepared: bytes) -> bytes:
    """What it is recognised by. One fast hash is enough: nobody can try out 2 to the power of 125 passwords."""
    return sha256(b"postroom app password\0" + prepared).digest()


def find_app_password(prepared: bytes, app_passwords: Iterable[AppPassword]) -> AppPassword | None:
    """The one that the password is. All are compared, so that the time tells nothing of which it was."""
    digest, found = digest_of(prepared), None
    for each in app_passwords:
        if hmac.compare_digest(digest, each.digest):
            found = each
    return found


def is_for(app_password: AppPassword, protocol: str) -> bool:
    """Whether it may be used for the protocol."""
    return not app_password.protocols or protocol in app_password.protocols
