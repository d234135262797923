"""A server on the far end that takes mail and remembers it; what goes wrong there are fields."""

import asyncio
import re
import socket
import ssl
from collections import Counter
from dataclasses import dataclass, field

from tests.system.loop_thread import LoopThread

_MESSAGE_ID = re.compile(rb"^message-id:[ \t]*(?:\r\n[ \t]+)?<([^>]*)>", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Arrived:
    """One transaction that reached its final dot. ``content`` is without dot-stuffing, with its own CRLFs."""

    mail: str
    recipients: tuple[str, ...]
    content: bytes
    answered: bool

    @property
    def message_id(self) -> str:
        """The Message-ID without its brackets, or ``""``."""
        found = _MESSAGE_ID.search(self.content)
        return found[1].decode() if found else ""


@dataclass(slots=True)
class Behaviour:
    """What the sink does wrong. Replies are whole lines without CRLF."""

    recipients: dict[str, str] = field(default_factory=dict)
    """Replies to RCPT for addresses that are not taken."""
    content: str = ""
    """Reply to the final dot instead of 250."""
    drop_after_dot: int = 0
    """So many times the connection is lost after the final dot, before the reply: an ambiguous end."""
    starttls: ssl.SSLContext | None = None


class Sink:
    """Listens in a thread of its own. Until ``up`` the port is taken, but connections are refused."""

    def __init__(self, *, up: bool = True) -> None:
        self.behaviour = Behaviour()
        self.keep_content = True
        self.arrived: list[Arrived] = []
        self.sessions = 0
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._loop = LoopThread()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        if up:
            self.up()

    def up(self) -> None:
        """Accept connections from now on."""

        async def listen() -> None:
            self._server = await asyncio.start_server(self._serve, sock=self._socket, limit=1 << 20, backlog=1000)

        self._loop.run(listen())

    def close(self) -> None:
        """Stop and release the port."""

        async def end() -> None:
            if self._server is not None:
                self._server.close()
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        self._loop.run(end())
        self._loop.close()
        self._socket.close()

    def counts(self) -> Counter[str]:
        """How often each Message-ID came whole, whether answered or not."""
        return Counter(message.message_id for message in self.arrived)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.sessions += 1
        try:
            await self._dialogue(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the peer went away, as it may
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()

    async def _dialogue(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mail, tls = "", False
        recipients: list[str] = []
        writer.write(b"220 sink.example ESMTP\r\n")
        while line := await reader.readline():
            text = line.decode(errors="replace").rstrip("\r\n")
            verb = text.split(" ")[0].upper()
            if verb in ("EHLO", "LHLO"):
                offer = "" if tls or self.behaviour.starttls is None else "250-STARTTLS\r\n"
                offers = f"250-sink.example\r\n{offer}250-PIPELINING\r\n250-SIZE 0\r\n250-8BITMIME\r\n"
                reply = offers + "250-SMTPUTF8\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES"
            elif verb == "STARTTLS" and self.behaviour.starttls is not None:
                writer.write(b"220 2.0.0 go ahead\r\n")
                await writer.drain()
                await writer.start_tls(self.behaviour.starttls)
                tls = True
                continue
            elif verb == "MAIL":
                mail, recipients, reply = text, [], "250 2.1.0 ok"
            elif verb == "RCPT":
                address = text.partition("<")[2].partition(">")[0]
                reply = self.behaviour.recipients.get(address, "250 2.1.5 ok")
                if reply[0] == "2":
                    recipients.append(address)
            elif verb == "DATA":
                if recipients:
                    writer.write(b"354 go on\r\n")
                    reply = await self._content(reader, mail, tuple(recipients))
                    if not reply:
                        return
                else:
                    reply = "554 5.5.1 no valid recipients"
            elif verb == "QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                await writer.drain()
                return
            else:
                reply = "250 2.0.0 ok"
            writer.write(reply.encode() + b"\r\n")
            if not reader._buffer:  # type: ignore[attr-defined] # replies to pipelined commands leave together
                await writer.drain()

    async def _content(self, reader: asyncio.StreamReader, mail: str, recipients: tuple[str, ...]) -> str:
        lines = []
        while (line := await reader.readline()) != b".\r\n":
            if not line.endswith(b"\r\n"):
                raise ConnectionResetError("the content ended early")
            if self.keep_content:
                lines.append(line.removeprefix(b"."))
        drop = self.behaviour.drop_after_dot > 0
        self.behaviour.drop_after_dot -= drop
        reply = "" if drop else self.behaviour.content or "250 2.0.0 taken"
        if drop or reply[0] == "2":
            self.arrived.append(Arrived(mail, recipients, b"".join(lines), answered=not drop))
        return reply
