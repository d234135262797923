"""Makes key pairs, names them, and reads those that other programs made (RFC 6376 §3.6.1, RFC 8463)."""

import time
from collections.abc import Callable
from dataclasses import field

from postroom.mail.value import value
from postroom.mailauth.dkim.signingkey import (
    Algorithm,
    PrivateKey,
    SigningKey,
    algorithm_of,
    key_record,
    load_key,
    make_key,
    write_key,
)
from postroom.mailauth.keys.model import ED25519, RSA, KeyPair

MAX_PEM = 64 * 1024

_LETTERS = {RSA: "r", ED25519: "e"}
_TAIL = "abcdefghjkmnpqrstvwxyz23456789"
_TAIL_LENGTH = 5


@value(frozen=True, slots=True)
class Made:
    """A key pair: the algorithm it signs by, its private half (PEM) and what its record says."""

    algorithm: str
    private: bytes = field(repr=False)
    record: str


def make_pair(algorithm: str) -> Made:
    """A new key pair. RSA takes some tenths of a second of CPU, most of it without Python's lock: use a thread."""
    return _made(make_key(Algorithm(algorithm)))


def read_pem(text: bytes) -> Made:
    """The key pair of a PEM file, as opendkim-genkey or openssl make it. ValueError, without any of it, if unfit."""
    if len(text) > MAX_PEM:
        raise ValueError("it is too long for a private key")
    return _made(load_key(text))


def load_pair(pair: KeyPair, private: bytes) -> SigningKey:
    """What signs. ValueError for what is no such key."""
    return SigningKey(pair.domain, pair.selector, Algorithm(pair.algorithm), load_key(private))


def _made(private: PrivateKey) -> Made:
    algorithm = algorithm_of(private)
    record = key_record(SigningKey("", "", algorithm, private))  # the record does not say where it belongs
    return Made(algorithm.value, write_key(private), record)


def new_selector(algorithm: str, now: float, choose: Callable[[str], str]) -> str:
    """A selector that tells algorithm and day, such as ``r20261126k7x2m``. Nobody can guess it, so that nobody asks for
    it, and remembers that it is not there, before it is used. ``choose`` picks one of some letters by chance.
    """
    day = time.strftime("%Y%m%d", time.gmtime(now))
    return f"{_LETTERS[algorithm]}{day}{''.join([choose(_TAIL) for _ in range(_TAIL_LENGTH)])}"
