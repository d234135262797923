"""Keys shown, published and made to sign; what was signed is verified by another's program and by ours."""

import asyncio

import dkim
from tests.system.loop_thread import Nameserver
from tests.system.program import Program

from postroom.clock import SystemClock
from postroom.dns.zone import Zone, ZoneResolver, txt_strings
from postroom.mailauth.dkim.checking import SignatureChecker
from postroom.mailauth.keys.model import RSA
from postroom.mailauth.keys.record import zone_text
from postroom.mailauth.model import Result


def read_zone(text: str) -> dict[bytes, bytes]:
    """The records that ``postroom dkim show`` printed, by name, as a resolver gives them."""
    records = {}
    for line in text.splitlines():
        name, _, _, kind, data = line.partition(" ; ")[0].split(" ", 4)
        assert kind == "TXT"
        records[name.encode()] = b"".join(txt_strings(data))
    return records


def verified(message: bytes, records: dict[bytes, bytes]) -> list[bool]:
    """The verdict on each signature, by these records: dkimpy's on RSA's (Ed25519 it knows only with a library of its
    own), ours on both.
    """

    def ask(name: bytes, timeout: float = 5) -> bytes | None:
        return records.get(name.rstrip(b".") + b".")

    zone = Zone()
    for name, record in records.items():
        zone.add(name.decode(), "TXT", zone_text(record.decode()))
    checks = asyncio.run(SignatureChecker(ZoneResolver(zone), SystemClock()).check(message)).dkim
    checker = dkim.DKIM(message)
    return [
        check.result is Result.PASS and (check.algorithm != RSA or checker.verify(index, dnsfunc=ask))
        for index, check in enumerate(checks)
    ]


def publish(nameserver: Nameserver, shown: str) -> None:
    for line in shown.splitlines():
        name, _, _, kind, data = line.partition(" ; ")[0].split(" ", 4)
        nameserver.zone.add(name, kind, data)


def activate_all(program: Program, domain: str, *options: str) -> None:
    for row in program.listing("dkim", "list", domain):
        program.command("dkim", "activate", domain, row["selector"], *options)
