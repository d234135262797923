"""A well-behaved client, as a program: delivers message after message, each in a session of its own, and keeps time.

Run as ``python -m tests.system.courier`` by ``SideProgram``. Its plan: ``host``, ``port``, ``recipient``, ``sources``
(addresses that take turns), ``pause`` (seconds between two messages of one client), and for submission ``login``
(account and password) with ``trust`` (the file of the authority).
"""

import asyncio
import base64
import itertools
import ssl
import time
from collections.abc import Mapping
from typing import Any

from tests.system.flooders import Connection, dial
from tests.system.program import HOSTNAME
from tests.system.sideprogram import run, say

WARM = 20
"""Deliveries after which it says that it is under way."""

CLIENTS = 2
"""At once."""


class _Trouble(Exception):
    """A reply that a well-behaved client has not deserved."""


class Courier:
    """What was sent, and how long each delivery took, from the connection to the answer to QUIT."""

    def __init__(self, plan: Mapping[str, Any], stop: asyncio.Event) -> None:
        self._plan = plan
        self._stop = stop
        self._numbers = itertools.count(1)
        self._sources = itertools.cycle(plan["sources"])
        self._trust = ssl.create_default_context(cafile=plan.get("trust"))
        self.sent: list[str] = []
        self.seconds: list[float] = []
        self.trouble: list[str] = []

    async def work(self) -> None:
        """One client, until it is told to stop."""
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                async with asyncio.timeout(30):
                    await self._deliver(f"{next(self._numbers)}.{self._plan['sources'][0]}@courier.example")
            except (OSError, EOFError, TimeoutError, _Trouble) as error:
                self.trouble.append(f"{type(error).__name__}: {error}")
            self.seconds.append(time.monotonic() - began)
            if len(self.seconds) == WARM:
                say(warm=True)
            try:
                await asyncio.wait_for(self._stop.wait(), self._plan["pause"])
            except TimeoutError:
                continue

    async def _deliver(self, message_id: str) -> None:
        plan = self._plan
        server = await dial(plan["host"], plan["port"], next(self._sources))
        try:
            await _expect(server, 220)
            await _say(server, "EHLO client.example", 250)
            sender = "courier@courier.example"
            if "login" in plan:
                sender, password = plan["login"]
                await _say(server, "STARTTLS", 220)
                await server.writer.start_tls(self._trust, server_hostname=HOSTNAME)
                await _say(server, "EHLO client.example", 250)
                initial = base64.b64encode(f"\0{sender}\0{password}".encode()).decode()
                await _say(server, f"AUTH PLAIN {initial}", 235)
            await _say(server, f"MAIL FROM:<{sender}>", 250)
            await _say(server, f"RCPT TO:<{plan['recipient']}>", 250)
            await _say(server, "DATA", 354)
            head = f"From: <{sender}>\r\nMessage-ID: <{message_id}>\r\nSubject: all is well\r\n\r\n"
            await _say(server, head + "It comes through.\r\n" * 50 + ".", 250)
            self.sent.append(message_id)
            await _say(server, "QUIT", 221)
        finally:
            server.close()


async def _say(server: Connection, line: str, code: int) -> None:
    server.writer.write(line.encode() + b"\r\n")
    await _expect(server, code)


async def _expect(server: Connection, code: int) -> None:
    reply = await server.reply()
    if not reply.startswith(str(code)):
        raise _Trouble(reply or "the connection was closed")


async def _job(plan: Mapping[str, Any], stop: asyncio.Event) -> Mapping[str, Any]:
    courier = Courier(plan, stop)
    await asyncio.gather(*[courier.work() for _ in range(CLIENTS)])
    return {"sent": courier.sent, "seconds": courier.seconds, "trouble": courier.trouble[:20]}


if __name__ == "__main__":
    run(_job)
