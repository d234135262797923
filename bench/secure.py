"""A load client for submission: TLS from the start, AUTH, one message to a session, sessions resumed by ticket.

A process of its own, so that its own TLS runs on its own core. Closed loop: so many sessions at once, each followed by
the next. The same client speaks to either server.
"""

import argparse
import asyncio
import base64
import json
import ssl
import time
from dataclasses import asdict, dataclass
from typing import cast

import uvloop

from bench.closedload import ClosedLoad
from bench.dialogue import Dialogue, transaction

_CONTENT = (
    b"From: <%s>\r\nTo: <%s>\r\nSubject: load\r\n"
    b"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <%d.%d@origin.example>\r\n\r\n"
)
_BODY = (b"x" * 78 + b"\r\n") * 128


@dataclass(frozen=True, slots=True)
class SecureResult:
    """``seconds`` from the first connection to the last ``250``; ``resumed`` sessions took up an earlier TLS session;
    ``client_cpu`` is the client's share of one core.
    """

    messages: int
    failed: int
    resumed: int
    seconds: float
    client_cpu: float


class _Session(asyncio.Protocol):
    """One message on one connection; the TLS in memory, as asyncio's own cannot resume sessions."""

    def __init__(self, load: "_Load", number: int) -> None:
        self._load = load
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = load.context.wrap_bio(
            self._incoming, self._outgoing, server_hostname="localhost", session=load.ticket
        )
        self._shaken = False
        self._transport: asyncio.Transport | None = None
        content = _CONTENT % (load.sender, load.recipient, load.seed, number) + _BODY + b".\r\n"
        self._dialogue = Dialogue(transaction(load.sender, load.recipient, content, login=load.secret))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._work()

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        self._work()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.over(self._dialogue.is_taken, self._shaken and bool(self._tls.session_reused))

    def _work(self) -> None:
        try:
            if not self._shaken:
                self._tls.do_handshake()
                self._shaken = True
            while True:
                data = self._tls.read(16384)
                if not data:
                    break
                self._heard(data)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self._close()
        out = self._outgoing.read()
        if out and self._transport is not None:
            self._transport.write(out)

    def _heard(self, data: bytes) -> None:
        line = self._dialogue.heard(data)
        if line:
            if self._dialogue.is_taken:
                self._load.ticket = self._tls.session or self._load.ticket
            self._tls.write(line)
        elif self._dialogue.complaint:
            self._load.complaint = self._dialogue.complaint.decode("ascii", "replace")
            self._close()
        elif self._dialogue.is_over:
            self._close()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class _Load:
    """``sessions`` at once until ``messages`` are sent."""

    def __init__(self, port: int, sender: str, password: str, recipient: str, messages: int, sessions: int) -> None:
        self.sender, self.recipient = sender.encode(), recipient.encode()
        self.secret = base64.b64encode(f"\0{sender}\0{password}".encode())
        self.seed = time.time_ns()
        self.ticket: ssl.SSLSession | None = None
        self.complaint = ""
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE  # a certificate of the bench's own, on loopback
        self._messages = messages
        self._resumed = 0
        self._loop = ClosedLoad(port, messages, sessions, lambda number: _Session(self, number))

    async def run(self) -> SecureResult:
        spent = await self._loop.run()
        sent = self._messages - spent.failed
        return SecureResult(sent, spent.failed, self._resumed, spent.seconds, spent.client_cpu)

    def over(self, ok: bool, resumed: bool) -> None:
        """A session ended."""
        self._resumed += resumed
        self._loop.over(ok=ok)


def main() -> None:
    """Run one load and print its SecureResult as JSON. The password comes on standard input."""
    parser = argparse.ArgumentParser(prog="python -m bench.secure")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--sender", required=True)
    parser.add_argument("--recipient", required=True)
    parser.add_argument("--messages", type=int, required=True)
    parser.add_argument("--sessions", type=int, default=20, help="so many at once")
    asked = parser.parse_args()
    password = input()

    async def run() -> SecureResult:
        load = _Load(asked.port, asked.sender, password, asked.recipient, asked.messages, asked.sessions)
        result = await load.run()
        if result.failed:
            raise SystemExit(f"{result.failed} of {asked.messages} messages failed: {load.complaint or 'closed'}")
        return result

    print(json.dumps(asdict(uvloop.run(run()))))


if __name__ == "__main__":
    main()
