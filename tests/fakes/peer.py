"""ScriptedPeer: a mail server that answers by script, in memory or on loopback; failures are fields."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from postroom.mail.session import TlsFacts
from postroom.net.tls import TlsError

ALL_EXTENSIONS = ("PIPELINING", "SIZE 10000000", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN", "SMTPUTF8")
TLS_FACTS = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384")


@dataclass
class Taken:
    """One message that the peer took to its end."""

    mail: str
    rcpts: list[str]
    content: bytes
    """As sent after DATA, without stuffing and final dot, or by BDAT as it was."""
    tls: bool = False
    chunks: tuple[int, ...] = ()
    """Sizes of the chunks, where it came by BDAT."""


@dataclass
class ScriptedPeer:
    """Fields first, then what it has seen.

    ``replies``: the reply, without the last CRLF, to commands that begin with the key, the longest key wins; ``"."``
    is the end of content, ``"greeting"`` the greeting. A list is used up in order, then the standard reply comes.
    ``close_at``, ``silent_at``, ``garbage_at``: what begins so is not answered: closed, silence, or garbage instead.
    ``close_after``: answered, then closed.
    ``refuse``: what connecting raises. ``tls``: STARTTLS is offered. ``tls_error``: the handshake fails.
    ``content_limit``: octets of content after which the connection breaks.
    ``gate``: nothing is answered until it is set.
    """

    extensions: tuple[str, ...] = ALL_EXTENSIONS
    replies: dict[str, str | list[str]] = field(default_factory=dict)
    close_at: str = ""
    close_after: str = ""
    silent_at: str = ""
    garbage_at: str = ""
    refuse: OSError | None = None
    tls: bool = False
    tls_error: OSError | None = None
    content_limit: int | None = None
    gate: asyncio.Event | None = None
    lmtp: bool = False
    chain: tuple[bytes, ...] = ()
    """The certificates that it shows in memory, in DER."""
    closes_idle: bool = False
    """Connections break as soon as a transaction is over and its reply is sent."""

    names: list[str | None] = field(default_factory=list)
    """Server names (SNI) of handshakes in memory."""
    taken: list[Taken] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    writes: list[bytes] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    most_open: int = 0

    def reply_to(self, line: str) -> str | None:
        """The script's reply to a command, None for the standard one."""
        keys = [key for key in self.replies if line.upper().startswith(key.upper())]
        if not keys:
            return None
        key = max(keys, key=len)
        reply = self.replies[key]
        if isinstance(reply, str):
            return reply
        return reply.pop(0) if reply else None

    async def connect(
        self,
        host_address: str,
        port: int,
        *,
        timeout: float,
        source: str | None = None,
        tls: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> "PeerStream":
        """A connection in memory, as ``net.stream.connect`` makes one."""
        if self.refuse is not None:
            raise self.refuse
        if tls is not None and self.tls_error is not None:
            raise self.tls_error
        return PeerStream(self, (host_address, port), implicit=tls is not None)

    @asynccontextmanager
    async def serve(self, context: ssl.SSLContext | None = None, *, implicit: bool = False) -> AsyncIterator[int]:
        """The same server on loopback; yields its port. ``context`` is for STARTTLS, or from the start."""
        self.tls = context is not None and not implicit
        tasks: set[asyncio.Task[None]] = set()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await self._serve(reader, writer, context, implicit)
            except (OSError, asyncio.CancelledError):
                pass  # the client left, or the test is over
            finally:
                writer.close()
                tasks.discard(task)

        server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context if implicit else None)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await server.wait_closed()

    async def _serve(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        context: ssl.SSLContext | None,
        implicit: bool,
    ) -> None:
        talk = _Talk(self, tls=implicit)
        while True:
            if talk.output:
                writer.write(bytes(talk.output))
                talk.output.clear()
                await writer.drain()
            if talk.handshake:
                assert context is not None
                await writer.start_tls(context)
                talk.secured()
            if talk.closed:
                break
            data = await reader.read(65536)
            if not data:
                break
            self.writes.append(data)
            talk.feed(data)
        talk.over()


class PeerStream:
    """The client's end of a connection to a scripted peer, in memory. A wait without end is a TimeoutError."""

    def __init__(self, script: ScriptedPeer, peer: tuple[str, int], *, implicit: bool = False) -> None:
        self._script = script
        self._talk = _Talk(script, tls=implicit)
        self.peer = peer
        self.tls: TlsFacts | None = TLS_FACTS if implicit else None
        self.closed = False
        self.aborted = False
        self.timeouts: list[float] = []

    @property
    def has_ended(self) -> bool:
        """The peer has closed."""
        return self._talk.closed or self.closed

    @property
    def held(self) -> int:
        """Octets that wait to be received."""
        return len(self._talk.output)

    def skip(self) -> None:
        """What the peer has said so far counts as received."""
        self._talk.output.clear()

    async def receive(self) -> bytes:
        """What the peer said."""
        if self._script.gate is not None:
            await self._script.gate.wait()
        if self._talk.output and not self.closed:
            data = bytes(self._talk.output)
            self._talk.output.clear()
            return data
        if self._talk.closed or self.closed:
            return b""
        raise TimeoutError("the peer took too long")

    def send(self, data: bytes) -> None:
        """Towards the peer."""
        if not self.closed and not self._talk.closed:
            self._script.writes.append(data)
            self._talk.feed(data)

    async def drain(self) -> None:
        """The peer reads at once, unless it is gone."""
        await asyncio.sleep(0)
        if self._talk.closed:
            raise ConnectionResetError("the connection is lost")

    def set_timeout(self, seconds: float) -> None:
        """Noted only."""
        self.timeouts.append(seconds)

    async def start_tls(self, context: ssl.SSLContext | None = None, server_hostname: str | None = None) -> TlsFacts:
        """The handshake."""
        assert context is not None
        assert self._talk.handshake, "STARTTLS was not accepted"
        self._script.names.append(server_hostname)
        if self._script.tls_error is not None:
            self._talk.closed = True
            raise self._script.tls_error
        self._talk.secured()
        self.tls = TLS_FACTS
        return TLS_FACTS

    @property
    def local_address(self) -> str:
        """Our own end, always the same."""
        return "192.0.2.100"

    def peer_chain(self) -> tuple[bytes, ...]:
        """What the script shows."""
        return self._script.chain if self.tls is not None else ()

    def channel_binding(self, kind: str) -> bytes | None:
        """There is none in memory."""
        return None

    def close(self, last: bytes = b"") -> None:
        """Close, with last words."""
        if last:
            self.send(last)
        if not self.closed:
            self.closed = True
            self._talk.over()

    def abort(self) -> None:
        """Close at once."""
        self.aborted = True
        self.close()


class _Talk:
    """The peer's side of one connection."""

    def __init__(self, script: ScriptedPeer, *, tls: bool) -> None:
        self.script = script
        self.tls = tls
        self.output = bytearray()
        self.closed = False
        self.handshake = False
        self._input = bytearray()
        self._content: bytearray | None = None
        self._chunks: list[bytes] = []
        self._mail = ""
        self._rcpts: list[str] = []
        self._challenges = 0
        self._silent = False
        self._counted = True
        script.connections += 1
        script.open += 1
        script.most_open = max(script.most_open, script.open)
        self._handle("greeting", "220 peer.example ESMTP")

    def over(self) -> None:
        if self._counted:
            self._counted = False
            self.script.open -= 1

    def secured(self) -> None:
        self.tls, self.handshake = True, False
        self._input.clear()

    def feed(self, data: bytes) -> None:
        self._input += data
        while not (self.closed or self.handshake or self._silent):
            if self._content is not None:
                if not self._take_content():
                    return
                continue
            line, newline, rest = bytes(self._input).partition(b"\r\n")
            if not newline:
                return
            text = line.decode()
            is_chunk = text.startswith("BDAT ")
            if is_chunk and not self._take_chunk(text, rest):
                return
            if not is_chunk:
                self._input[:] = rest
            self.script.commands.append(text)
            if is_chunk and text.endswith(" LAST"):
                self._end_chunks()
            else:
                self._handle(text, self._standard(text))

    def _take_content(self) -> bool:
        """True once the content has ended."""
        assert self._content is not None
        self._content += self._input
        self._input.clear()
        limit = self.script.content_limit
        if limit is not None and len(self._content) > limit:
            reply = self.script.reply_to("content")
            if reply is not None:
                self.output += reply.encode() + b"\r\n"
            self.closed = True
            return False
        whole = b"\r\n" + self._content
        end = whole.find(b"\r\n.\r\n")
        if end < 0:
            return False
        self._input[:] = whole[end + 5 :]
        content = whole[2 : end + 2].replace(b"\r\n.", b"\r\n")
        content = content[1:] if content.startswith(b".") else content
        self._content = None
        self._end(Taken(self._mail, self._rcpts, content, self.tls))
        return True

    def _take_chunk(self, line: str, rest: bytes) -> bool:
        """True once the chunk has come (RFC 3030 §2)."""
        size = int(line.split(" ")[1])
        if len(rest) < size:
            return False
        self._chunks.append(rest[:size])
        self._input[:] = rest[size:]
        return True

    def _end_chunks(self) -> None:
        chunks, self._chunks = self._chunks, []
        sizes = tuple(len(chunk) for chunk in chunks)
        self._end(Taken(self._mail, self._rcpts, b"".join(chunks), self.tls, sizes))

    def _end(self, taken: Taken) -> None:
        self._mail, self._rcpts = "", []
        count = len(taken.rcpts) if self.script.lmtp else 1
        for number in range(count):
            if self.closed or self._silent:
                return
            standard = "250 2.0.0 taken" if taken.rcpts else "554 5.5.1 no valid recipients"
            if self._handle(".", standard).startswith("250") and number == 0:
                self.script.taken.append(taken)
        if self.script.closes_idle:
            self.closed = True

    def _standard(self, line: str) -> str:
        verb = line.split(" ")[0].upper()
        if self._challenges and verb != "*":
            self._challenges -= 1
            return "334 UGFzc3dvcmQ6" if self._challenges else "235 2.7.0 welcome"
        if verb in {"EHLO", "LHLO"}:
            words = ["peer.example", *self.script.extensions]
            if self.script.tls and not self.tls:
                words.append("STARTTLS")
            last = len(words) - 1
            return "\r\n".join(f"250{' ' if at == last else '-'}{word}" for at, word in enumerate(words))
        if verb == "AUTH" and line.split(" ")[1] == "LOGIN":
            self._challenges = 2
            return "334 VXNlcm5hbWU6"
        return {
            "HELO": "250 peer.example",
            "STARTTLS": "220 2.0.0 go",
            "AUTH": "235 2.7.0 welcome",
            "MAIL": "250 2.1.0 ok",
            "RCPT": "250 2.1.5 ok" if self._mail else "503 5.5.1 MAIL first",
            "BDAT": "250 2.0.0 ok",
            "DATA": "354 go" if self._rcpts else "554 5.5.1 no valid recipients",
            "RSET": "250 2.0.0 ok",
            "QUIT": "221 2.0.0 bye",
            "*": "501 5.7.0 cancelled",
        }.get(verb, "500 5.5.1 what?")

    def _handle(self, line: str, standard: str) -> str:
        """Say what the script has to say, and do what follows from it; returns the reply."""
        script, upper = self.script, line.upper()
        if script.close_at and upper.startswith(script.close_at.upper()):
            self.closed = True
            return ""
        if script.silent_at and upper.startswith(script.silent_at.upper()):
            self._silent = True
            return ""
        reply = script.reply_to(line) or standard
        if script.garbage_at and upper.startswith(script.garbage_at.upper()):
            reply = "this is no SMTP"
        self.output += reply.encode() + b"\r\n"
        self._proceed(line, reply)
        if reply.startswith("421") or (script.close_after and upper.startswith(script.close_after.upper())):
            self.closed = True
        return reply

    def _proceed(self, line: str, reply: str) -> None:
        verb = line.split(" ")[0].upper()
        if verb == "QUIT":
            self.closed = True
        elif verb == "RSET":
            self._mail, self._rcpts = "", []
            self._chunks = []
        elif verb == "STARTTLS" and reply.startswith("220"):
            self.handshake = True
        elif verb == "MAIL" and reply.startswith("2"):
            self._mail, self._rcpts = line, []
        elif verb == "RCPT" and reply.startswith("2"):
            self._rcpts.append(line)
        elif verb == "DATA" and reply.startswith("354"):
            self._content = bytearray()


@dataclass
class Network:
    """Peers by address, for ``connect``; an address without a peer refuses. ``tried`` holds what was tried in order."""

    peers: dict[str, ScriptedPeer] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)
    sources: list[str | None] = field(default_factory=list)

    async def __call__(
        self,
        host_address: str,
        port: int,
        *,
        timeout: float,
        source: str | None,
        tls: ssl.SSLContext | None,
        server_hostname: str | None,
    ) -> PeerStream:
        self.tried.append(host_address)
        self.sources.append(source)
        peer = self.peers.get(host_address)
        if peer is None:
            raise ConnectionRefusedError(111, "Connection refused")
        return await peer.connect(
            host_address, port, timeout=timeout, source=source, tls=tls, server_hostname=server_hostname
        )


def broken_tls() -> OSError:
    """What a handshake that fails raises."""
    return TlsError("wrong version number")
