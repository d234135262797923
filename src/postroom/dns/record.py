"""One record of a zone as zone files have it (RFC 1035 §5.1), and what is said when it cannot be published."""

import re
from collections.abc import Iterator

from postroom.mail.value import value

MAX_STRING = 255
"""Octets of one string of a TXT record (RFC 1035 §3.3)."""

_PLAIN = range(0x20, 0x7F)
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
_ESCAPE = re.compile(r"\\(?:([0-9]{3})|(.))")


@value(frozen=True, slots=True)
class ZoneRecord:
    """One record: ``name`` without a final dot, ``kind`` such as TXT, ``data`` as zone files have it."""

    name: str
    kind: str
    data: str
    ttl: int = 3600


class PublishFailed(Exception):
    """The zone was not changed; the text says why and what to do."""


def txt_data(text: str) -> str:
    """The data of a TXT record that says ``text``: quoted, in strings of 255 octets at most (RFC 7208 §3.3)."""
    octets = text.encode()
    pieces = [octets[at : at + MAX_STRING] for at in range(0, len(octets), MAX_STRING)] or [b""]
    return " ".join(f'"{"".join(_written(piece))}"' for piece in pieces)


def txt_text(data: str) -> str:
    """What a TXT record says, its strings joined: the inverse of ``txt_data``."""
    octets = bytearray()
    for quoted, bare in _STRING.findall(data):
        octets += _ESCAPE.sub(_unescaped, quoted or bare).encode("latin-1", "replace")
    return octets.decode("utf-8", "replace")


def _written(piece: bytes) -> Iterator[str]:
    for octet in piece:
        if octet in b'"\\':
            yield f"\\{octet:c}"
        else:
            yield chr(octet) if octet in _PLAIN else f"\\{octet:03d}"


def _unescaped(match: re.Match[str]) -> str:
    return chr(min(int(match[1]), 255)) if match[1] else match[2]
