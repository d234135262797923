"""OAUTHBEARER (RFC 7628) and XOAUTH2, its forerunner: an OAuth token in place of a password.

XOAUTH2 was never standardised; what is in use follows Google's description of it. In both a token that is not good is
answered with a challenge of JSON, to which the client says something without meaning before it hears that it failed.
"""

import re

from postroom.protocol.sasl.exchange import (
    Around,
    Bearer,
    Challenge,
    Disproved,
    Malformed,
    Password,
    Step,
    read_text,
)
from postroom.protocol.sasl.scram_words import quote_name, unquote_name

NAME = "OAUTHBEARER"
XNAME = "XOAUTH2"

REFUSAL = b'{"status":"invalid_token"}'  # RFC 7628 §3.2.2, RFC 6750 §3.1
XREFUSAL = b'{"status":"401","schemes":"bearer"}'

_SEPARATOR = b"\x01"
_TOKEN = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9\-._~+/]+=*)")  # RFC 6750 §2.1, RFC 9110 §11.1
_MAX_TOKEN = 8192  # octets; a signed token with many claims has some two thousand


class BearerServer:
    """OAUTHBEARER: the GS2 header with the name, then ``auth=Bearer token``; other pairs are passed over."""

    def __init__(self, around: Around) -> None:
        self._host = around.host

    def step(self, data: bytes | None) -> Step:
        """The message, or None to ask for it."""
        if data is None:
            return Challenge(b"")
        header, separator, rest = data.partition(_SEPARATOR)
        try:
            name = _read_header(header)
        except ValueError as error:
            return Malformed(f"{NAME}: {error}")
        pairs = _read_pairs(rest) if separator else None
        if pairs is None:
            return Malformed(f"{NAME} has not its pairs")
        host = pairs.get("host", b"")
        if host and self._host and host.lower() != self._host.lower().encode():
            # RFC 7628 §3.2: what is known by other means must be the same
            return Disproved(name, "the token was sent to another host", REFUSAL)
        token = _read_token(pairs.get("auth", b""))
        return Malformed(f"{NAME} has no bearer token") if token is None else Bearer(token, name, REFUSAL)


class XoauthServer:
    """XOAUTH2: ``user=name``, then ``auth=Bearer token``."""

    def step(self, data: bytes | None) -> Step:
        """The message, or None to ask for it."""
        if data is None:
            return Challenge(b"")
        pairs = _read_pairs(data)
        if pairs is None:
            return Malformed(f"{XNAME} has not its pairs")
        name = read_text(pairs.get("user", b""), "name")
        if isinstance(name, Malformed):
            return name
        token = _read_token(pairs.get("auth", b""))
        return Malformed(f"{XNAME} has no bearer token") if token is None else Bearer(token, name, XREFUSAL)


class TokenClient:
    """Says everything at once, and something without meaning to the challenge that tells why it was refused."""

    def __init__(self, mechanism: str, message: bytes, dummy: bytes) -> None:
        self._mechanism = mechanism
        self._message = message
        self._dummy = dummy
        self._said = self._refused = False

    @property
    def name(self) -> str:
        """OAUTHBEARER or XOAUTH2."""
        return self._mechanism

    @property
    def is_satisfied(self) -> bool:
        """Nothing is asked of the server."""
        return True

    def initial(self) -> bytes:
        """The message."""
        self._said = True
        return self._message

    def respond(self, challenge: bytes) -> bytes | Malformed:
        """The message to an empty challenge, the dummy (RFC 7628 §3.2.3) to a refusal."""
        if not self._said and not challenge:
            return self.initial()
        if not self._said or self._refused:
            return Malformed(f"{self._mechanism} has one message, and the server asks for more")
        self._refused = True
        return self._dummy


def bearer_client(name: str, token: Password, host: str = "", port: int = 0) -> TokenClient:
    """OAUTHBEARER. ``host`` and ``port`` are where we connected to, if that is to be told."""
    where = f"\x01host={host}\x01port={port}" if host and port else ""
    message = b"n,a=%s,%s\x01auth=Bearer %s\x01\x01" % (quote_name(name), where.encode(), token.text.encode())
    return TokenClient(NAME, message, _SEPARATOR)


def xoauth_client(name: str, token: Password) -> TokenClient:
    """XOAUTH2."""
    return TokenClient(XNAME, f"user={name}\x01auth=Bearer {token.text}\x01\x01".encode(), b"")


def _read_header(header: bytes) -> str:
    """The name in the GS2 header, ``""`` if there is none (RFC 7628 §3.1). ValueError for what is no such header."""
    parts = header.split(b",")
    if len(parts) != 3 or parts[0] not in {b"n", b"y"} or parts[2]:
        raise ValueError("it has no GS2 header without channel binding")
    if not parts[1]:
        return ""
    if not parts[1].startswith(b"a="):
        raise ValueError("it has no GS2 header without channel binding")
    name = read_text(parts[1][2:], "name")
    if isinstance(name, Malformed):
        raise ValueError(name.reason)
    return unquote_name(parts[1][2:])


def _read_pairs(text: bytes) -> dict[str, bytes] | None:
    """The pairs, each ended by a separator and all by one more; None for anything else, and for a repetition."""
    if not text.endswith(b"\x01\x01"):
        return None
    pairs: dict[str, bytes] = {}
    for pair in text[:-2].split(_SEPARATOR):
        key, equals, value = pair.partition(b"=")
        name = key.decode("ascii", "replace")
        if not equals or not key.isalpha() or name in pairs:
            return None
        pairs[name] = value
    return pairs


def _read_token(value: bytes) -> str | None:
    match = _TOKEN.fullmatch(value)
    return match[1].decode("ascii") if match is not None and len(match[1]) <= _MAX_TOKEN else None
