"""The web port runs in our loop, leaves signals alone, and stops when told."""

import asyncio
import signal
import socket

import pytest
from tests.fakes.metrics import no_metrics

from postroom.config.model import WebSettings
from postroom.web.app import Health, make_app
from postroom.web.server import WebServer


async def well() -> Health:
    return Health({"store": "ok"})


def make_server(address: str = "127.0.0.1", port: int = 0) -> WebServer:
    return WebServer(make_app(well, no_metrics), WebSettings(address=address, port=port))


async def fetch(address: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_serves_and_stops() -> None:
    before = signal.getsignal(signal.SIGTERM)
    server = make_server()
    address, port = server.open()
    await server.start()
    answer = await fetch(address, port)
    assert signal.getsignal(signal.SIGTERM) is before
    await server.stop()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"store":"ok"' in answer
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(address, port)


async def test_start_opens_by_itself() -> None:
    server = make_server()
    await server.start()
    await server.stop()
    await server.stop()


async def test_a_taken_port_is_an_error_that_can_be_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        make_server(port=taken.getsockname()[1]).open()


async def test_ipv6() -> None:
    server = make_server("::1")
    try:
        address, port = server.open()
    except OSError:
        pytest.skip("no IPv6 on this machine")
    await server.start()
    answer = await fetch(address, port)
    await server.stop()
    assert answer.startswith(b"HTTP/1.1 200")
