"""Both event loops, a certificate, and pairs of connected streams on loopback."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trustme
import uvloop

from postroom.config.certificates import TlsSettings
from postroom.net.stream import SocketStream, connect
from postroom.net.sweeper import Sweeper
from postroom.net.tls import ServerTls


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Each test of this folder runs on both."""
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture
def tls_settings(authority: trustme.CA, tmp_path: Path) -> TlsSettings:
    write_certificate(authority, tmp_path, "mx.example.org")
    return TlsSettings(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")


def write_certificate(authority: trustme.CA, folder: Path, name: str) -> None:
    issued = authority.issue_cert(name, key_type=trustme.KeyType.ECDSA)
    folder.joinpath("cert.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(folder / "key.pem")


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """A client context that trusts the test authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


Pair = tuple[SocketStream, SocketStream]
Pairer = Callable[[ServerTls | None], Awaitable[Pair]]


@pytest.fixture
async def pair() -> AsyncIterator[Pairer]:
    """Makes a connected client and server stream."""
    loop = asyncio.get_running_loop()
    sweeper = Sweeper(interval=0.05)
    open_streams: list[SocketStream] = []
    servers: list[asyncio.AbstractServer] = []

    async def make(server_tls: ServerTls | None) -> Pair:
        accepted: asyncio.Future[SocketStream] = loop.create_future()

        class Accepting(SocketStream):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                accepted.set_result(self)

        server = await loop.create_server(lambda: Accepting(("127.0.0.1", 1), sweeper, server_tls), "127.0.0.1", 0)
        servers.append(server)
        client = await connect("127.0.0.1", server.sockets[0].getsockname()[1], timeout=5, sweeper=sweeper)
        open_streams.extend((client, await accepted))
        return client, await accepted

    yield make
    for server in servers:
        server.close()
    for stream in open_streams:
        stream.abort()
    while len(sweeper):
        await asyncio.sleep(0)
    sweeper.stop()
