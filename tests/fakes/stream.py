"""MemoryStream: both ends of a connection in memory, its failures as fields.

The session under test holds the stream as it would hold one of ``net.stream``; the test plays the client with ``feed``,
``feed_eof``, ``read_line``, ``read_until`` and ``read_all``. Nothing sleeps: whoever waits is woken by the other side.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from postroom.mail.session import TlsFacts

TLS_FACTS = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384")


@dataclass
class MemoryStream:
    """One connection.

    ``silent``: a ``receive`` that would have to wait raises TimeoutError at once (the peer is silent for too long).
    ``receive_error``, ``drain_error``, ``tls_error``: raised by those methods in place of what they do
    (``receive_error`` once everything fed has been received).
    ``window``: octets the client leaves unread before ``drain`` waits; None: any.
    ``stuck``: a ``drain`` that would have to wait raises TimeoutError at once.
    ``bindings``: the channel bindings that the TLS session has, by kind.
    ``after_tls``: what the client sends inside TLS right after the handshake; what was fed before it is dropped.
    """

    peer: tuple[str, int] = ("192.0.2.1", 4711)
    silent: bool = False
    stuck: bool = False
    receive_error: Exception | None = None
    drain_error: Exception | None = None
    tls_error: Exception | None = None
    tls_facts: TlsFacts = TLS_FACTS
    bindings: dict[str, bytes] = field(default_factory=dict)
    after_tls: bytes = b""
    window: int | None = None

    timeout: float = 0.0
    timeouts: list[float] = field(default_factory=list)
    closed: bool = False
    tls: bool = False
    sent_octets: int = 0
    most_unread: int = 0
    writes: list[int] = field(default_factory=list)
    """The size of each ``send``: few and big is good manners."""
    drains: int = 0

    _incoming: deque[bytes] = field(default_factory=deque)
    _eof: bool = False
    _unread: bytearray = field(default_factory=bytearray)
    _change: asyncio.Event = field(default_factory=asyncio.Event)

    # The session's side: the port of net.stream.

    @property
    def has_ended(self) -> bool:
        """The client has closed its side."""
        return self._eof or self.closed

    @property
    def held(self) -> int:
        """Octets that were fed and not received."""
        return sum(map(len, self._incoming))

    async def receive(self) -> bytes:
        """What the client sent next; ``b""`` after its end."""
        while not self._incoming:
            if self.receive_error is not None:
                raise self.receive_error
            if self._eof or self.closed:
                return b""
            if self.silent:
                raise TimeoutError
            await self._wait()
        return self._incoming.popleft()

    def send(self, data: bytes) -> None:
        """Towards the client. Nothing is sent after ``close``."""
        if self.closed:
            return
        self._unread += data
        self.sent_octets += len(data)
        self.writes.append(len(data))
        self.most_unread = max(self.most_unread, len(self._unread))
        self._wake()

    async def drain(self) -> None:
        """Wait until the client has read enough."""
        self.drains += 1
        if self.drain_error is not None:
            raise self.drain_error
        while self.window is not None and len(self._unread) > self.window and not self.closed:
            if self.stuck:
                raise TimeoutError
            await self._wait()

    def set_timeout(self, seconds: float) -> None:
        """Kept in ``timeout`` and ``timeouts`` for the test to look at; nothing here counts seconds."""
        self.timeout = seconds
        self.timeouts.append(seconds)

    async def start_tls(self) -> TlsFacts:
        """The handshake: what was fed before it is dropped."""
        if self.tls_error is not None:
            raise self.tls_error
        self._incoming.clear()
        self.tls = True
        if self.after_tls:
            self._incoming.append(self.after_tls)
        self._wake()
        return self.tls_facts

    def channel_binding(self, kind: str) -> bytes | None:
        """As the test set it in ``bindings``, once TLS is up."""
        return self.bindings.get(kind) if self.tls else None

    def close(self, last: bytes = b"") -> None:
        """Send what is left and close; here: mark it."""
        if last:
            self.send(last)
        self.closed = True
        self._wake()

    def abort(self) -> None:
        """Close at once; here the same."""
        self.close()

    # The client's side.

    def feed(self, *pieces: bytes) -> None:
        """The client sends; each piece is one ``receive``."""
        self._incoming.extend(pieces)
        self._wake()

    def feed_eof(self) -> None:
        """The client closes its side."""
        self._eof = True
        self._wake()

    async def read_line(self) -> bytes:
        """The next line from the server, CRLF included; what there is (perhaps ``b""``) if it closed."""
        return await self.read_until(b"\r\n")

    async def read_until(self, mark: bytes) -> bytes:
        """What the server sends up to and including ``mark``; less only if it closed."""
        while (end := self._unread.find(mark)) < 0 and not self.closed:
            await self._wait()
        return self._take(end + len(mark) if end >= 0 else len(self._unread))

    async def read_all(self) -> bytes:
        """Everything until the server closes."""
        while not self.closed:
            await self._wait()
        return self._take(len(self._unread))

    async def skip_all(self) -> int:
        """Read and forget everything until the server closes; how many octets came."""
        skipped = 0
        while not self.closed:
            skipped += len(self._take(len(self._unread)))
            await self._wait()
        return skipped + len(self._take(len(self._unread)))

    def take_sent(self) -> bytes:
        """What the server has sent and the client has not read yet, without waiting."""
        return self._take(len(self._unread))

    @property
    def unread(self) -> bytes:
        """The same, left where it is."""
        return bytes(self._unread)

    def _take(self, size: int) -> bytes:
        data = bytes(self._unread[:size])
        del self._unread[:size]
        self._wake()
        return data

    def _wake(self) -> None:
        self._change.set()

    async def _wait(self) -> None:
        self._change.clear()
        await self._change.wait()
