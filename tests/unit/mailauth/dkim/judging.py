"""A checker over a zone with one key record or several, for the tests of this folder."""

from collections.abc import AsyncIterator

from tests.fakes.clock import ManualClock
from tests.fakes.dkim_signer import record

from postroom.dns.zone import Zone, ZoneResolver
from postroom.mailauth.content import Pieces
from postroom.mailauth.dkim.checking import SignatureChecker
from postroom.mailauth.model import DkimCheck

KEY = "sel._domainkey.example.org"
NOW = ManualClock().now()
MESSAGE = b"From: a@example.org\r\nTo: b@example.net\r\nSubject: hello\r\n\r\nHow are you?\r\n"


def zone_of(*records: str, name: str = KEY) -> Zone:
    """A zone with these TXT records at a name."""
    zone = Zone()
    for text in records or (record(),):
        zone.add(name, "TXT", f'"{text}"')
    return zone


def checker_of(*records: str, name: str = KEY) -> SignatureChecker:
    return SignatureChecker(ZoneResolver(zone_of(*records, name=name)), ManualClock())


async def only_check(message: bytes, *records: str, name: str = KEY) -> DkimCheck:
    """What becomes of the only signature of a message, with these records where its key should be."""
    (check,) = (await checker_of(*records, name=name).check(message)).dkim
    return check


def in_pieces(content: bytes, size: int) -> Pieces:
    """The content in pieces of a size."""

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(content), size):
            yield content[at : at + size]

    return pieces
