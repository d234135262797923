"""Answers HTTP-01 challenges on a port of their own (RFC 8555 §8.3), and nothing else.

It stands open to everyone, so it is as small as can be: a request has few octets and little time, is answered and the
connection closed; when too many are open the oldest goes, so that idle ones cannot keep the authority out.
"""

import asyncio
import socket
from collections.abc import Callable

from postroom.net.sockets import bind

PATH = "/.well-known/acme-challenge/"

MOST_OCTETS = 8192
"""Of a request's head."""

PATIENCE = 10.0
"""Seconds that a connection may take in all."""

MOST_CONNECTIONS = 200
BACKLOG = 128

Answer = Callable[[str], str | None]
"""What to say to a token, or None for one that is not ours."""

_TOKEN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_LONGEST_TOKEN = 256


def find_answer(path: str, answer: Answer) -> str | None:
    """What stands under ``path``, which may have a query; None for anything that is no open challenge."""
    token = path.partition("?")[0].removeprefix(PATH)
    if token == path or not token or len(token) > _LONGEST_TOKEN or not _TOKEN.issuperset(token):
        return None
    return answer(token)


def respond(head: bytes, answer: Answer) -> bytes:
    """The response to a request's head (RFC 9112 §3)."""
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return _response("400 Bad Request", "")
    if words[0] not in ("GET", "HEAD"):
        return _response("405 Method Not Allowed", "", "Allow: GET, HEAD\r\n")
    found = find_answer(words[1], answer)
    whole = _response("404 Not Found", "") if found is None else _response("200 OK", found)
    return whole if words[0] == "GET" else whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def _response(status: str, body: str, more: str = "") -> bytes:
    lines = f"HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\n{more}"
    return f"{lines}Connection: close\r\n\r\n{body}".encode("ascii")


class ChallengeServer:
    """The port. ``open`` binds, ``start`` answers, ``stop`` closes."""

    def __init__(self, answer: Answer, address: str, port: int) -> None:
        self._answer = answer
        self._address = address
        self._port = port
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._open: dict[_Connection, None] = {}

    def open(self) -> tuple[str, int]:
        """Bind the port (before privileges are dropped); returns address and port. OSError if it is taken.

        ``::`` takes IPv4 as well, as the authority may come by either.
        """
        listening = bind(self._address, self._port, backlog=BACKLOG, both_families=self._address == "::")
        self._socket = listening
        host, port = listening.getsockname()[:2]
        return str(host), int(port)

    async def start(self) -> None:
        """Begin to answer. Opens the port if ``open`` was not called."""
        if self._socket is None:
            self.open()
        assert self._socket is not None  # noqa: S101 - open sets it or raises
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self._answer, self._open), sock=self._socket)

    async def stop(self) -> None:
        """Close the port and what is open. Harmless if it was never started."""
        if self._server is not None:
            self._server.close()
            self._server = None
        elif self._socket is not None:
            self._socket.close()
        self._socket = None
        for each in tuple(self._open):
            each.end()


class _Connection(asyncio.Protocol):
    """One request."""

    def __init__(self, answer: Answer, others: "dict[_Connection, None]") -> None:
        self._answer = answer
        self._others = others
        self._head = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """One more; the oldest goes where there are too many."""
        self._transport = transport  # type: ignore[assignment] # a server's transports are of no other kind
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, self.end)
        self._others[self] = None
        if len(self._others) > MOST_CONNECTIONS:
            next(iter(self._others)).end()

    def data_received(self, data: bytes) -> None:
        """A piece of the request; what comes after its head is of no interest."""
        if self._transport is None or self._transport.is_closing():
            return
        self._head += data
        if b"\r\n\r\n" in self._head:
            self._transport.write(respond(bytes(self._head), self._answer))
            self._transport.close()
        elif len(self._head) > MOST_OCTETS:
            self._transport.write(_response("431 Request Header Fields Too Large", ""))
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._others.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()

    def end(self) -> None:
        """At once."""
        self._others.pop(self, None)
        if self._transport is not None:
            self._transport.abort()
