"""A session in a task over a stream in memory, and the client's words to get it somewhere."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from tests.fakes.clock import settle
from tests.fakes.smtp_house import SmtpHouse
from tests.fakes.stream import MemoryStream

from postroom.config.model import SmtpSettings
from postroom.inbound.service import SmtpService
from postroom.mail.session import Client, Role


@dataclass
class Talk:
    """One session under test."""

    house: SmtpHouse
    service: SmtpService
    stream: MemoryStream
    task: "asyncio.Task[None]"

    async def say(self, *lines: str) -> str:
        """Send lines in one piece; what the server says to them."""
        return await self.send("".join(f"{line}\r\n" for line in lines).encode())

    async def send(self, data: bytes) -> str:
        """Send octets; what the server says to them."""
        self.stream.feed(data)
        await settle(60)
        return self.stream.take_sent().decode()

    async def open(self) -> None:
        """As far as DATA."""
        await settle(5)
        said = await self.say(
            "EHLO client.example", "MAIL FROM:<ann@remote.example>", "RCPT TO:<bob@local.example>", "DATA"
        )
        assert "\r\n354 " in said, said

    async def over(self) -> str:
        """Wait for the session's end; the server's last words."""
        await self.task
        return self.stream.take_sent().decode()


Starter = Callable[..., Talk]


@pytest.fixture
async def start() -> AsyncIterator[Starter]:
    """Starts a session on a house with one account, bob@local.example."""
    talks: list[Talk] = []

    def make(
        settings: SmtpSettings | None = None,
        *,
        role: Role = Role.MX,
        stream: MemoryStream | None = None,
        house: SmtpHouse | None = None,
        client: Client | None = None,
    ) -> Talk:
        house = house or SmtpHouse(settings)
        house.people.add_account("bob@local.example", password="set")
        service = SmtpService(role, house.house)
        stream = stream or MemoryStream()
        task = asyncio.create_task(service.run(stream, client or Client(1, role, "192.0.2.1", 4711)))
        talks.append(Talk(house, service, stream, task))
        return talks[-1]

    yield make
    for talk in talks:
        talk.stream.close()
        await asyncio.wait_for(asyncio.gather(talk.task, return_exceptions=True), 5)
