"""A connection as a stream of bytes with deadlines, flow control and TLS; nothing in it grows without bound."""

import asyncio
import ssl
from ipaddress import IPv6Address
from typing import Protocol, cast

from postroom.mail.session import TlsFacts
from postroom.net.channel import ClientChannel, TlsChannel, TlsError
from postroom.net.sweeper import Sweeper
from postroom.net.tls import ServerTls

READ_LIMIT = 128 * 1024
"""Octets held for a reader that is busy, beyond which the socket is read no more."""

LINGER = 10.0
"""Seconds that ``close`` gives the peer to take what is still to be sent."""

_FOREVER = float("inf")


class Stream(Protocol):
    """What sessions of either side are written against. One task uses a stream; one wait is under way at a time."""

    @property
    def peer(self) -> tuple[str, int]:
        """Address as text (an IPv4-mapped one as IPv4) and port."""
        ...

    @property
    def held(self) -> int:
        """Octets that have come and wait to be received."""
        ...

    @property
    def has_ended(self) -> bool:
        """The peer has closed its side, or is lost."""
        ...

    async def receive(self) -> bytes:
        """What has come, at least one octet; ``b""`` once the peer has closed or is lost.

        Raises TimeoutError past the deadline.
        """
        ...

    def send(self, data: bytes) -> None:
        """Send soon. Without effect once the connection is lost or closed."""
        ...

    async def drain(self) -> None:
        """Wait while too much is unsent. TimeoutError past the deadline, ConnectionError if the connection is lost."""
        ...

    def set_timeout(self, seconds: float) -> None:
        """Waits end ``seconds`` from now; each call starts anew. 0 is no deadline."""
        ...

    async def start_tls(self) -> TlsFacts:
        """Hold the server's side of a handshake. Call it right after sending the go-ahead, with no await in between:
        what was received before is dropped, what comes from now on is the handshake (RFC 3207 §4.2).

        Raises TlsError, or TimeoutError past the deadline; the stream is then good for nothing but ``abort``.
        """
        ...

    def channel_binding(self, kind: str) -> bytes | None:
        """What ties a login to the TLS session (RFC 5056), ``kind`` as registered: tls-exporter (RFC 9266) or
        tls-server-end-point (RFC 5929). None in the clear, and where this session has none of that kind.
        """
        ...

    def close(self, last: bytes = b"") -> None:
        """Send what is unsent and the ``last`` words, then close; cut off where the peer takes longer than LINGER."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class SocketStream(asyncio.Protocol):
    """A stream over a transport of either event loop. TLS is done here and not by the loop: they differ in what they do
    with data that comes with the end of the handshake (DESIGN §5).
    """

    __slots__ = (
        "_chunks",
        "_closing",
        "_deadline",
        "_eof",
        "_failure",
        "_full",
        "_held",
        "_loop",
        "_lost",
        "_paused",
        "_peer",
        "_reader",
        "_server_tls",
        "_sweeper",
        "_tls",
        "_transport",
        "_writer",
    )

    def __init__(self, peer: tuple[str, int], sweeper: Sweeper, server_tls: ServerTls | None = None) -> None:
        self._peer = peer
        self._sweeper = sweeper
        self._server_tls = server_tls
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._chunks: list[bytes] = []
        self._held = 0
        self._deadline = _FOREVER
        self._paused = False  # we stopped reading
        self._full = False  # the transport asked us to stop writing
        self._eof = False
        self._lost = False
        self._closing = False
        self._failure: TlsError | None = None
        self._tls: TlsChannel | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    @property
    def peer(self) -> tuple[str, int]:
        """Address as text (an IPv4-mapped one as IPv4) and port."""
        return self._peer

    @property
    def held(self) -> int:
        """Octets that wait to be received."""
        return self._held

    @property
    def has_ended(self) -> bool:
        """The peer has closed its side, or is lost."""
        return self._eof

    @property
    def tls(self) -> TlsFacts | None:
        """What the handshake agreed on, or None in the clear."""
        return None if self._tls is None else self._tls.facts

    # What the session calls.

    async def receive(self) -> bytes:
        """What has come; see ``Stream``."""
        while not self._chunks:
            if self._eof:
                return b""
            await self._next_change()
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._forget_received()
        return data

    def send(self, data: bytes) -> None:
        """Send soon; see ``Stream``."""
        if self._closing or self._lost or self._transport is None:
            return
        self._transport.write(data if self._tls is None else self._tls.encrypt(data))

    async def drain(self) -> None:
        """Wait while too much is unsent; see ``Stream``."""
        while self._full and not self._lost:
            self._check_deadline()
            self._writer = self._loop.create_future()
            try:
                await self._writer
            finally:
                self._writer = None
        if self._lost:
            raise ConnectionResetError("the connection is lost")

    def set_timeout(self, seconds: float) -> None:
        """Waits end ``seconds`` from now; 0 is no deadline."""
        self._deadline = self._loop.time() + seconds if seconds else _FOREVER
        if 0 < seconds < 1:
            self._sweeper.hurry(self, seconds)

    async def start_tls(self, context: ssl.SSLContext | None = None, server_hostname: str | None = None) -> TlsFacts:
        """The server's side of a handshake; with ``context`` the client's, for ``server_hostname``. See ``Stream``."""
        self._forget_received()  # RFC 3207 §4.2: what was said in the clear is forgotten
        if context is None:
            return await self._shake_hands(self._server_channel(), b"")
        return await self._shake_hands(ClientChannel(context, server_hostname), b"")

    async def begin_tls(self) -> TlsFacts:
        """The server's side of a handshake that opens the connection: what has come already belongs to it."""
        early = b"".join(self._chunks)
        self._forget_received()
        return await self._shake_hands(self._server_channel(), early)

    def speak_for(self, address: str, port: int) -> None:
        """The peer is a balancer; from now on ``peer`` is the client that it announced."""
        self._peer = (address, port)

    def put_back(self, data: bytes) -> None:
        """What was received and belongs to whoever receives next."""
        if data:
            self._chunks.insert(0, data)
            self._held += len(data)

    def channel_binding(self, kind: str) -> bytes | None:
        """What ties a login to the TLS session; see ``Stream``."""
        return None if self._tls is None else self._tls.binding(kind)

    @property
    def local_address(self) -> str:
        """Our own end of the connection as text, ``""`` where there is none."""
        name = None if self._transport is None else self._transport.get_extra_info("sockname")
        return plain_address(str(name[0])) if isinstance(name, tuple) else ""

    def peer_chain(self) -> tuple[bytes, ...]:
        """The certificates that the server showed to us, its own first, in DER, not examined; none in the clear."""
        return self._tls.chain() if isinstance(self._tls, ClientChannel) else ()

    def close(self, last: bytes = b"") -> None:
        """Send what is unsent and the last words, then close; see ``Stream``."""
        if self._closing or self._lost or self._transport is None:
            return
        if self._tls is not None:
            last = (self._tls.encrypt(last) if last else b"") + self._tls.close()
        if last:
            self._transport.write(last)
        self._closing = True
        self._deadline = self._loop.time() + LINGER
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._closing = True
        if self._transport is not None and not self._lost:
            self._transport.abort()

    # What the sweeper calls.

    def sweep(self, now: float) -> None:
        """End the wait that is under way if its deadline has passed; cut a close that lingers."""
        if now < self._deadline:
            return
        if self._closing:
            self.abort()
        for waiter in (self._reader, self._writer):
            if waiter is not None and not waiter.done():
                waiter.set_exception(TimeoutError("the peer took too long"))
        self._reader = None

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = cast(asyncio.Transport, transport)
        self._sweeper.add(self)

    def data_received(self, data: bytes) -> None:
        """Something came."""
        if self._tls is not None:
            data = self._through_tls(data)
        if data and not self._closing:
            self._chunks.append(data)
            self._held += len(data)
            if self._held > READ_LIMIT and not self._paused and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
            self._wake_reader()

    def eof_received(self) -> bool:
        """The peer will send no more; it may still read."""
        self._eof = True
        self._wake_reader()
        return True

    def pause_writing(self) -> None:
        """Too much is unsent."""
        self._full = True

    def resume_writing(self) -> None:
        """Enough has been taken."""
        self._full = False
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over, by either side."""
        self._lost = self._eof = True
        self._sweeper.discard(self)
        self._wake_reader()
        self.resume_writing()

    # Inside.

    def _server_channel(self) -> TlsChannel:
        if self._server_tls is None:
            raise RuntimeError("this listener has no certificate")
        return self._server_tls.channel()

    async def _shake_hands(self, channel: TlsChannel, early: bytes) -> TlsFacts:
        """Until the handshake is done; what comes with its end is held."""
        if self._tls is not None:
            raise RuntimeError("TLS is up already")
        self._tls = channel
        self.data_received(early)  # a client speaks first, even to nothing
        while channel.facts is None:
            if self._failure is not None:
                raise self._failure
            if self._eof:
                raise TlsError("the peer closed during the handshake")
            await self._next_change()
        return channel.facts

    def _next_change(self) -> asyncio.Future[None]:
        """Done once something has changed for a reader. Whoever wakes the reader lets go of it."""
        self._check_deadline()
        reader = self._reader = self._loop.create_future()
        return reader

    def _check_deadline(self) -> None:
        if self._loop.time() >= self._deadline:
            raise TimeoutError("the peer took too long")

    def _wake_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)

    def _forget_received(self) -> None:
        self._chunks.clear()
        self._held = 0
        if self._paused:
            self._paused = False
            if self._transport is not None and not self._closing and not self._lost:
                self._transport.resume_reading()

    def _through_tls(self, data: bytes) -> bytes:
        """The clear text in ``data``; what the handshake has to say is sent."""
        channel = self._tls
        assert channel is not None and self._transport is not None  # noqa: S101, PT018 - for the type checker
        shaken = channel.facts is not None
        try:
            clear = channel.receive(data)
        except TlsError as error:
            self._failure, self._eof, clear = error, True, b""
        output = channel.output()
        if output and not self._lost and not self._closing:
            self._transport.write(output)
        if channel.ended:
            self._eof = True
        if self._eof or shaken is not (channel.facts is not None):
            self._wake_reader()
        return clear


async def connect(
    host_address: str,
    port: int,
    *,
    timeout: float,  # noqa: ASYNC109 - a connection is made or not made within it
    source: str | None = None,
    tls: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    sweeper: Sweeper | None = None,
) -> SocketStream:
    """A connection to an IP address, from the local address ``source``, with TLS from the start where ``tls`` is given.
    ``host_address`` may also be the path of a socket in the file system.

    Raises OSError, TimeoutError or TlsError. Streams that share a ``sweeper`` share its timer.
    """
    loop = asyncio.get_running_loop()
    stream = SocketStream((host_address, port), sweeper or Sweeper())
    local = None if source is None else (source, 0)
    try:
        async with asyncio.timeout(timeout):
            if host_address.startswith("/"):
                await loop.create_unix_connection(lambda: stream, host_address)
            else:
                await loop.create_connection(lambda: stream, host_address, port, local_addr=local)
            if tls is not None:
                await stream.start_tls(tls, server_hostname)
    except BaseException:
        stream.abort()
        raise
    return stream


def plain_address(address: str) -> str:
    """The address as the rest of the house knows it: an IPv4-mapped IPv6 address as IPv4, no zone."""
    if ":" not in address:
        return address
    parsed = IPv6Address(address.partition("%")[0])
    return str(parsed.ipv4_mapped or parsed)
