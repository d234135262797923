"""One site at work: the SMTP dialogue of its hosts in its manner, its rules enforced, everything written down."""

import asyncio
import random
import re
import ssl
import time
from collections import Counter, deque
from collections.abc import Mapping

from tests.world.model import Host, Site, Tls
from tests.world.people import AT_RCPT, CENSORED, CROWDED, CROWDED_FOR, kind_of
from tests.world.record import Connection, Record, Transaction

_MESSAGE_ID = re.compile(rb"^message-id:[ \t]*<([^>]*)>", re.IGNORECASE | re.MULTILINE)
_ADDRESS = re.compile(r"<([^>]*)>")
_LONGEST_SILENCE = 60.0  # seconds
LONGEST_CONTENT = 1 << 20  # octets


class Reception:
    """A site: what its hosts remember together. ``contexts`` are TLS contexts by the host's name."""

    def __init__(self, site: Site, record: Record, contexts: Mapping[str, ssl.SSLContext]) -> None:
        self.site = site
        self.rules = site.manner.rules
        self.record = record
        self.contexts = contexts
        self.open: Counter[str] = Counter()
        self.chance = random.Random(site.name)
        self._first_seen: dict[tuple[str, ...], float] = {}
        self._times: dict[str, deque[float]] = {}
        self._dropped: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, host: Host, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        client = writer.get_extra_info("peername")[0]
        connection = Connection(self.site.name, host.name, client, time.monotonic())
        self.record.connections.append(connection)
        self.open[client] += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await _Dialogue(self, host, connection, reader, writer).run(len(self.record.connections) - 1)
            writer.close()  # what was said last still leaves
            await writer.wait_closed()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            pass  # the client went away, or is not one
        finally:
            self.open[client] -= 1
            connection.end = time.monotonic()
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()

    async def close(self) -> None:
        """Break off all dialogues, and wait until they are over."""
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks)

    def is_too_fast(self, client: str, now: float) -> bool:
        """One message more than the site's rate allows; else it is counted."""
        rate = self.rules.rate
        if rate is None:
            return False
        times = self._times.setdefault(client, deque())
        while times and times[0] <= now - rate.seconds:
            times.popleft()
        if len(times) >= rate.count:
            return True
        times.append(now)
        return False

    def is_new(self, kind: str, *key: str, seconds: float) -> bool:
        """Whether it was seen for the first time less than so many seconds ago."""
        now = time.monotonic()
        return now - self._first_seen.setdefault((kind, *key), now) < seconds

    def is_first(self, message_id: str) -> bool:
        """Whether the message has not been here before."""
        if message_id in self._dropped:
            return False
        self._dropped.add(message_id)
        return True


class _Over(Exception):
    """The dialogue ends here, after what was said last."""


class _Dialogue:
    def __init__(
        self,
        reception: Reception,
        host: Host,
        connection: Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._reception = reception
        self._manner = reception.site.manner
        self._host = host
        self._connection = connection
        self._reader = reader
        self._writer = writer
        self._out: list[str] = []
        self._transaction: Transaction | None = None
        self._chunks: list[bytes] = []
        self._number = 0
        self._context = reception.contexts.get(host.name)

    async def run(self, number: int) -> None:
        self._number = number
        rules = self._reception.rules
        if rules.connections and self._reception.open[self._connection.client] > rules.connections:
            self._connection.refused = True
            self._connection.broken.append("connections")
            self._out.append(f"421 4.7.0 {self._host.name} too many connections from {self._connection.client}")
            await self._flush()
            return
        self._out.append(f"220 {self._host.name} ESMTP")
        try:
            while True:
                if not self._reader._buffer:  # type: ignore[attr-defined] # replies to pipelined commands leave together
                    await self._flush()
                async with asyncio.timeout(_LONGEST_SILENCE):
                    line = (await self._reader.readuntil(b"\r\n")).decode(errors="replace").removesuffix("\r\n")
                await self._answer(line.partition(" ")[0].upper(), line)
        except _Over:
            await self._flush()

    async def _answer(self, verb: str, line: str) -> None:
        match verb:
            case "EHLO":
                self._end()
                self._out.append("\r\n".join(self._greeting()))
            case "HELO":
                self._end()
                self._out.append(f"250 {self._host.name}")
            case "STARTTLS" if self._offers_tls:
                await self._start_tls()
            case "MAIL":
                self._mail(line)
            case "RCPT":
                self._rcpt(line)
            case "DATA":
                await self._data()
            case "BDAT" if self._manner.chunking:
                await self._bdat(line.split())
            case "RSET":
                self._end()
                self._out.append("250 2.0.0 ok")
            case "NOOP":
                self._out.append("250 2.0.0 ok")
            case "QUIT":
                self._out.append("221 2.0.0 bye")
                raise _Over
            case _:
                self._out.append("500 5.5.2 what?")

    @property
    def _offers_tls(self) -> bool:
        return self._host.tls is not Tls.NONE and not self._connection.tls

    def _greeting(self) -> list[str]:
        offers = [self._host.name, "PIPELINING", "SIZE 1048576", "8BITMIME", "ENHANCEDSTATUSCODES"]
        offers += ["STARTTLS"] if self._offers_tls else []
        offers += ["CHUNKING"] if self._manner.chunking else []
        return [f"250-{offer}" for offer in offers[:-1]] + [f"250 {offers[-1]}"]

    async def _start_tls(self) -> None:
        self._out.append("220 2.0.0 go ahead")
        await self._flush()
        if self._context is None:
            self._writer.write(b"this is no TLS\r\n" * 10)
            await self._writer.drain()
            raise ConnectionResetError("no TLS here")
        await self._writer.start_tls(self._context)
        self._connection.tls = self._writer.get_extra_info("ssl_object").version()

    def _mail(self, line: str) -> None:
        connection, rules = self._connection, self._reception.rules
        connection.messages += 1
        if rules.messages_per_connection and connection.messages > rules.messages_per_connection:
            connection.broken.append("messages_per_connection")
            self._out.append(f"421 4.7.0 {self._host.name} too many messages on this connection")
            raise _Over
        now = time.monotonic()
        found = _ADDRESS.search(line)
        transaction = Transaction(
            connection.site, connection.host, connection.client, self._number, now, found[1] if found else ""
        )
        transaction.tls = connection.tls
        self._reception.record.transactions.append(transaction)
        if self._reception.is_too_fast(connection.client, now):
            connection.broken.append("rate")
            transaction.reply = "450 4.7.28 our system has detected an unusual rate of mail from your address"
            self._out.append(transaction.reply)
            return
        self._transaction = transaction
        self._out.append("250 2.1.0 ok")

    def _rcpt(self, line: str) -> None:
        transaction = self._transaction
        if transaction is None:
            self._out.append("503 5.5.1 MAIL first")
            return
        found = _ADDRESS.search(line)
        address = found[1] if found else ""
        reply = self._judged(transaction, address)
        if reply.startswith("2"):
            transaction.recipients.append(address)
        else:
            transaction.refused.append((address, reply))
        self._out.append(reply)

    def _judged(self, transaction: Transaction, address: str) -> str:
        """The reply to RCPT."""
        reception = self._reception
        kind = kind_of(address)
        if kind in AT_RCPT:
            return AT_RCPT[kind].format(address=address)
        if kind == "crowded" and reception.is_new("crowded", address, seconds=CROWDED_FOR):
            return CROWDED.format(address=address)
        greylist = reception.rules.greylist
        if greylist and reception.is_new("greylist", transaction.client, transaction.mail, address, seconds=greylist):
            return f"450 4.7.1 <{address}>: greylisted, try again in {greylist:.0f} seconds"
        return "250 2.1.5 ok"

    async def _data(self) -> None:
        transaction = self._transaction
        if transaction is None or not transaction.recipients:
            self._out.append("503 5.5.1 RCPT first" if transaction is None else "554 5.5.1 no valid recipients")
            self._end()
            return
        self._out.append("354 go on")
        await self._flush()
        async with asyncio.timeout(_LONGEST_SILENCE):
            content = await self._reader.readuntil(b"\r\n.\r\n")
        await self._have(transaction, content)

    async def _bdat(self, words: list[str]) -> None:
        async with asyncio.timeout(_LONGEST_SILENCE):
            chunk = await self._reader.readexactly(min(int(words[1]), LONGEST_CONTENT))
        transaction = self._transaction
        if transaction is None or not transaction.recipients:
            self._out.append("503 5.5.1 no transaction")  # RFC 3030 §2: the chunk is read all the same
            return
        self._chunks.append(chunk)
        if words[-1].upper() == "LAST":
            await self._have(transaction, b"".join(self._chunks))
        else:
            self._out.append("250 2.0.0 ok")

    async def _have(self, transaction: Transaction, content: bytes) -> None:
        """The content is here: the last word about it."""
        found = _MESSAGE_ID.search(content)
        transaction.message_id = found[1].decode() if found else ""
        if self._manner.drops and self._reception.is_first(transaction.message_id):
            transaction.lost = True
            raise ConnectionResetError("the last reply is not given")
        censored = any(kind_of(address) == "censored" for address in transaction.recipients)
        transaction.reply = CENSORED if censored else "250 2.0.0 taken"
        self._out.append(transaction.reply)
        self._end()

    def _end(self) -> None:
        if self._transaction is not None:
            self._transaction.end = time.monotonic()
        self._transaction = None
        self._chunks = []

    async def _flush(self) -> None:
        if not self._out:
            return
        slowest = self._manner.slowest_reply
        if slowest:
            await asyncio.sleep(slowest * self._reception.chance.uniform(0.1, 1.0))
        self._writer.write("".join([f"{reply}\r\n" for reply in self._out]).encode())
        self._out.clear()
        await self._writer.drain()
