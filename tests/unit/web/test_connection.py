"""Clients of the web ports that do not say what they want, or not to its end, or do not take what they asked for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI, Request, Response

from postroom.config.model import WebSettings
from postroom.web.connection import BoundedProtocol
from postroom.web.server import WebServer

LONG = 30 << 20


@asynccontextmanager
async def serving(
    monkeypatch: pytest.MonkeyPatch, *, seconds: float, most: int = 200
) -> AsyncIterator[tuple[str, int]]:
    monkeypatch.setattr(BoundedProtocol, "seconds", seconds)
    monkeypatch.setattr(BoundedProtocol, "most", most)
    app = FastAPI()

    @app.post("/echo")
    async def echo(request: Request) -> Response:
        return Response(await request.body())

    @app.get("/long")
    async def long() -> Response:
        return Response(b"x" * LONG)

    @app.get("/slow")
    async def slow() -> Response:
        await asyncio.sleep(seconds * 4)
        return Response(b"done")

    server = WebServer(app, WebSettings(address="127.0.0.1", port=0))
    address = server.open()
    await server.start()
    try:
        yield address
    finally:
        await server.stop()


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What is read until the server ends the connection."""
    found = b""
    try:
        async with asyncio.timeout(10):
            while piece := await reader.read(1 << 16):
                found += piece
    except ConnectionResetError:
        pass
    return found


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx",
    ],
)
async def test_a_request_that_does_not_come(monkeypatch: pytest.MonkeyPatch, beginning: bytes) -> None:
    async with serving(monkeypatch, seconds=0.05) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(beginning)
        assert await ended(reader) == b""
        writer.close()


async def test_a_head_that_comes_octet_by_octet(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch, seconds=0.1) as address:
        reader, writer = await asyncio.open_connection(*address)
        ending = asyncio.create_task(ended(reader))
        for octet in b"GET / HTTP/1.1\r\nX: " + b"a" * 2000:
            writer.write(bytes([octet]))
            if (await asyncio.wait([ending], timeout=0.01))[0]:
                break
        assert ending.done()
        writer.close()


async def test_a_body_that_comes_slowly_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch, seconds=0.2) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 20\r\n\r\n")
        ending = asyncio.create_task(ended(reader))
        for _ in range(20):
            writer.write(b"x")
            await asyncio.wait([ending], timeout=0.04)
        assert (await ending).endswith(b"x" * 20)
        writer.close()


async def test_our_own_time_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch, seconds=0.05) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await ended(reader)).endswith(b"done")
        writer.close()


async def test_an_answer_that_nobody_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch, seconds=0.1) as address:
        reader, writer = await asyncio.open_connection(*address, limit=1024)
        writer.write(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readline()
        await asyncio.wait([asyncio.create_task(writer.wait_closed())], timeout=0.6)  # nothing is read meanwhile
        assert len(await ended(reader)) < LONG
        writer.close()


async def test_more_connections_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch, seconds=5, most=3) as address:
        kept = [await asyncio.open_connection(*address) for _ in range(3)]
        reader, writer = await asyncio.open_connection(*address)
        assert await ended(reader) == b""
        for _, each in (*kept, (reader, writer)):
            each.close()
