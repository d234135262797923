"""Clients that send message after message and note which were acknowledged: the witness of the crash tests."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

LOCAL = ("alice@example.org", "bob@example.org")
REMOTE = "someone@remote.example"


@dataclass(frozen=True, slots=True)
class Sent:
    """One message as its client meant it."""

    message_id: str
    local: tuple[str, ...]
    remote: tuple[str, ...]


@dataclass(slots=True)
class Witness:
    """What was answered: ``acknowledged`` got 250, ``refused`` counts other answers to content by their code,
    ``unknown`` are messages whose answer never came.
    """

    acknowledged: list[Sent] = field(default_factory=list)
    unknown: list[Sent] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)


class Load:
    """``clients`` sessions at once, each of which sends until ``stop``. What is sent follows from ``seed`` alone."""

    def __init__(self, port: Callable[[], int], *, seed: int, clients: int = 8, pause: float = 0.02) -> None:
        self.witness = Witness()
        self._port = port
        self._seed = seed
        self._pause = pause
        self._clients = clients
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to send."""
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(self._clients)]

    async def stop(self) -> None:
        """Let each client finish its message."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def _client(self, number: int) -> None:
        chance = random.Random(f"{self._seed} {number}")
        count = 0
        while not self._stopping:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port())
            except OSError:
                await asyncio.sleep(0.02)  # it is down for a moment
                continue
            try:
                await _expect(reader)
                writer.write(b"EHLO client.example\r\n")
                await _expect(reader)
                for _ in range(chance.randint(1, 5)):
                    count += 1
                    if not await self._message(reader, writer, _make(chance, f"{self._seed}.{number}.{count}"), chance):
                        break
                    await asyncio.sleep(chance.random() * self._pause)
            except (OSError, EOFError):
                continue
            finally:
                writer.transport.abort()

    async def _message(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: Sent, chance: random.Random
    ) -> bool:
        """Send one; whether the session can go on."""
        writer.write(b"MAIL FROM:<sender@elsewhere.example>\r\n")
        for recipient in sent.local + sent.remote:
            writer.write(b"RCPT TO:<%s>\r\n" % recipient.encode())
        writer.write(b"DATA\r\n")
        refusal: tuple[int, str] | None = None
        for _ in range(2 + len(sent.local) + len(sent.remote)):
            code, text = await _expect(reader)
            if code >= 400:
                refusal = refusal or (code, text)
        if refusal is not None:
            self.witness.refused.append(refusal)
            return False
        writer.write(_content(sent, chance))
        try:
            code, text = await _expect(reader)
        except (OSError, EOFError):
            self.witness.unknown.append(sent)
            raise
        if code == 250:
            self.witness.acknowledged.append(sent)
        else:
            self.witness.refused.append((code, text))
        return code < 421


def _make(chance: random.Random, name: str) -> Sent:
    """A third local, a third remote, a third both."""
    kind = chance.randrange(3)
    local = tuple(chance.sample(LOCAL, chance.randint(1, 2))) if kind != 1 else ()
    return Sent(f"{name}@client.example", local, (REMOTE,) if kind != 0 else ())


def _content(sent: Sent, chance: random.Random) -> bytes:
    """Mostly small; one in thirty is too large to ride in the intake commit."""
    lines = chance.randint(1500, 4000) if chance.random() < 0.03 else chance.randint(1, 60)
    head = f"From: <sender@elsewhere.example>\r\nSubject: load\r\nMessage-ID: <{sent.message_id}>\r\n\r\n"
    return head.encode() + (b"m" * 72 + b"\r\n") * lines + b".\r\n"


async def _expect(reader: asyncio.StreamReader) -> tuple[int, str]:
    line = await reader.readuntil(b"\r\n")
    while line[3:4] == b"-":
        line = await reader.readuntil(b"\r\n")
    return int(line[:3]), line[4:].decode(errors="replace").strip()
