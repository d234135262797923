"""Hashes of crypt(3) by SHA-256 and SHA-512, as in shadow files and Dovecot's: verified only, never made.

Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512". Python's own crypt module is gone from 3.13, and the libraries
that knew these are not kept up (docs/adr/0009).
"""

import hmac
import re
from collections.abc import Callable
from hashlib import sha256, sha512
from typing import Any

PREFIXES = ("$5$", "$6$")

MOST_ROUNDS = 1_000_000
"""A hash that asks for more is refused: it would take more than a second of a processor."""

_LEAST_ROUNDS, _USUAL_ROUNDS = 1000, 5000
_HASH = re.compile(
    r"\$(?P<kind>[56])\$(?:rounds=(?P<rounds>\d{1,9})\$)?(?P<salt>[^$:\n]{0,16})\$(?P<sum>[./0-9A-Za-z]+)"
)
_LETTERS = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

_Hash = Callable[[bytes], Any]


def is_hash(stored: str) -> bool:
    """Whether it has the form of such a hash, with rounds that are borne."""
    match = _HASH.fullmatch(stored)
    if match is None or len(match["sum"]) != (43 if match["kind"] == "5" else 86):
        return False
    return _LEAST_ROUNDS <= _rounds(match) <= MOST_ROUNDS


def verify(stored: str, password: bytes) -> bool:
    """Whether the hash is of the password. ValueError if it is no hash of this kind."""
    match = _HASH.fullmatch(stored)
    if match is None or not is_hash(stored):
        raise ValueError("the stored hash is damaged")
    new = sha256 if match["kind"] == "5" else sha512
    found = _encode(_digest(new, password, match["salt"].encode(), _rounds(match)))
    return hmac.compare_digest(found, match["sum"])


def _rounds(match: "re.Match[str]") -> int:
    return int(match["rounds"] or _USUAL_ROUNDS)


def _digest(new: _Hash, password: bytes, salt: bytes, rounds: int) -> bytes:
    """The octets of the hash. What follows is the recipe of the specification, step by step."""
    other: bytes = new(password + salt + password).digest()
    start = password + salt + _stretched(other, len(password))
    bits = len(password)
    while bits:
        start += other if bits & 1 else password
        bits >>= 1
    total: bytes = new(start).digest()
    long_password = _stretched(new(password * len(password)).digest(), len(password))
    long_salt = _stretched(new(salt * (16 + total[0])).digest(), len(salt))
    for number in range(rounds):
        odd = number & 1
        total = new(
            (long_password if odd else total)
            + (long_salt if number % 3 else b"")
            + (long_password if number % 7 else b"")
            + (total if odd else long_password)
        ).digest()
    return total


def _stretched(digest: bytes, length: int) -> bytes:
    return (digest * (length // len(digest) + 1))[:length]


def _encode(digest: bytes) -> str:
    """The octets in crypt's own order and letters: in threes that go round the thirds of the digest."""
    third = len(digest) // 3
    text = []
    for step in range(third):
        octets = [digest[step + third * part] for part in range(3)]
        turn = step % 3 if len(digest) == 64 else -step % 3
        text.append(_letters(*octets[turn:], *octets[:turn]))
    rest = digest[third * 3 :]
    text.append(_letters(*reversed(rest)))
    return "".join(text)


def _letters(*octets: int) -> str:
    """The first octet is the highest; six bits a letter, the lowest first."""
    number = int.from_bytes(bytes(octets), "big")
    return "".join([_LETTERS[number >> shift & 63] for shift in range(0, 8 * len(octets), 6)])
