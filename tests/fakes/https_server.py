"""HttpsServer: answers by script over real TLS on loopback, and says what it was asked."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class HttpsServer:
    """``answers``: the whole answer by path, without a length; it closes after each. ``silent``: none comes."""

    answers: dict[str, bytes] = field(default_factory=dict)
    silent: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Host and first line of each request."""
    names: list[str | None] = field(default_factory=list)
    """SNI of each handshake."""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def put(
        self, path: str, body: bytes, *, status: str = "200 OK", media_type: str = "text/plain", more: str = ""
    ) -> None:
        """What stands at a path."""
        head = f"HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nConnection: close\r\n{more}\r\n"
        self.answers[path] = head.encode() + body

    @asynccontextmanager
    async def serve(self, context: ssl.SSLContext) -> AsyncIterator[int]:
        """On loopback; yields the port."""

        def note(_socket: object, name: str | None, _context: ssl.SSLContext) -> None:
            self.names.append(name)

        context.sni_callback = note
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            self.asked.append((headers["host"].partition(":")[0], head[0]))
            self.headers.append(headers)
            self.bodies.append(await reader.readexactly(int(headers.get("content-length", "0"))))
            if not self.silent:
                missing = b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n"
                writer.write(self.answers.get(head[0].split(" ")[1], missing))
                await writer.drain()
            else:
                await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client left
        finally:
            writer.close()
