"""The mail of a run: who writes to whom follows from a seed; it goes in by SMTP, over a few connections at once."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.world.model import Domain, World
from tests.world.people import FATES, SHARES

SENDERS = tuple(f"{name}@example.org" for name in ("alice", "bob", "carol", "dave", "erin"))
_ALONE = frozenset({"censored"})
"""Their refusal is about the content, so that it would be the fate of all recipients of the transaction."""
_CLIENTS = 8
_LINE = b"The world is wide, and mail goes everywhere in it, or comes back.\r\n"


@dataclass(frozen=True, slots=True)
class Letter:
    """One message."""

    message_id: str
    sender: str
    recipients: tuple[str, ...]
    lines: int

    def content(self) -> bytes:
        """As it is sent."""
        head = f"From: <{self.sender}>\r\nSubject: round the world\r\nMessage-ID: <{self.message_id}>\r\n\r\n"
        return head.encode() + _LINE * self.lines


def letters(world: World, count: int, seed: int) -> Sequence[Letter]:
    """So many, each to one to three recipients; every domain gets some of them."""
    return list(_letters(world, count, random.Random(seed)))


def _letters(world: World, count: int, chance: random.Random) -> Iterator[Letter]:
    domains = world.domains
    weights = [domain.weight for domain in domains]
    for number in range(count):
        first = domains[number] if number < len(domains) else chance.choices(domains, weights)[0]
        recipients = [_recipient(first, number, chance)]
        if chance.random() < 0.1 and recipients[0].partition(".")[0] not in _ALONE:
            others = chance.choices(domains, weights, k=chance.randint(1, 2))
            recipients += [f"someone.{number}.{place}@{other.name}" for place, other in enumerate(others, 1)]
        lines = chance.randint(1500, 2000) if chance.random() < 0.005 else chance.randint(1, 60)
        yield Letter(f"{number}.world@example.org", chance.choice(SENDERS), tuple(recipients), lines)


def _recipient(domain: Domain, number: int, chance: random.Random) -> str:
    kinds = list(FATES) if domain.has_people else ["someone"]
    kind = chance.choices(kinds, [SHARES[kind] for kind in kinds])[0]
    return f"{kind}.{number}@{domain.name}"


async def send(port: int, all_letters: Sequence[Letter]) -> None:
    """Send them to the mx port of this machine; AssertionError where one is not taken."""
    waiting = iter(all_letters)

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await _expect(reader, b"220")
            writer.write(b"EHLO client.example\r\n")
            await _expect(reader, b"250")
            for letter in waiting:
                await _send_one(reader, writer, letter)
            writer.write(b"QUIT\r\n")
            await _expect(reader, b"221")
        finally:
            writer.transport.abort()

    await asyncio.gather(*[client() for _ in range(_CLIENTS)])


async def _send_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, letter: Letter) -> None:
    rcpt = "".join([f"RCPT TO:<{recipient}>\r\n" for recipient in letter.recipients])
    writer.write(f"MAIL FROM:<{letter.sender}>\r\n{rcpt}DATA\r\n".encode())
    for _ in range(1 + len(letter.recipients)):
        await _expect(reader, b"250")
    await _expect(reader, b"354")
    writer.write(letter.content() + b".\r\n")
    await _expect(reader, b"250")


async def _expect(reader: asyncio.StreamReader, code: bytes) -> None:
    async with asyncio.timeout(60):
        line = await reader.readuntil(b"\r\n")
        while line[3:4] == b"-":
            line = await reader.readuntil(b"\r\n")
    assert line.startswith(code), line
