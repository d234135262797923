"""The port for ACME challenges (RFC 8555 §8.3): answers those, and nothing else, to however strange a client."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.fakes.metrics import no_metrics
from tests.unit.web.test_app import get

from postroom.web import challenge
from postroom.web.app import Health, make_app
from postroom.web.challenge import PATH, ChallengeServer, find_answer, respond

TOKEN = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
ANSWERS = {TOKEN: f"{TOKEN}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        PATH,
        PATH.removesuffix("/"),
        PATH + "other",
        PATH + TOKEN + "/",
        PATH + "../" + TOKEN,
        PATH + TOKEN + "%00",
        "http://mail.example.org" + PATH + TOKEN,
        "x" + PATH + TOKEN,
        PATH + "a" * 300,
        PATH + "é",
    ],
)
def test_nothing_else_has_an_answer(path: str) -> None:
    assert find_answer(path, ANSWERS.get) is None


def test_a_query_does_no_harm() -> None:
    assert find_answer(PATH + TOKEN + "?x=1", ANSWERS.get) == ANSWERS[TOKEN]


def test_the_answer_as_it_goes_over_the_wire() -> None:
    head, _, body = respond(f"GET {PATH}{TOKEN} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), ANSWERS.get).partition(
        b"\r\n\r\n"
    )
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nContent-Type: application/octet-stream\r\n" in head  # RFC 8555 §8.3
    assert f"\r\nContent-Length: {len(body)}\r\n".encode() in head
    assert body.decode() == ANSWERS[TOKEN]


def test_head_has_no_body() -> None:
    answered = respond(f"HEAD {PATH}{TOKEN} HTTP/1.1\r\n\r\n".encode(), ANSWERS.get)
    assert answered.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answered.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /metrics HTTP/1.1", b"404"),
        (b"POST " + PATH.encode() + TOKEN.encode() + b" HTTP/1.1", b"405"),
        (b"GET /", b"400"),
        (b"", b"400"),
        (b"\x16\x03\x01 \xff \x00", b"400"),
        (b"GET  / HTTP/1.1", b"400"),
        (b"GET / HTTP/2", b"400"),
    ],
)
def test_refusals(line: bytes, status: bytes) -> None:
    assert respond(line + b"\r\n\r\n", ANSWERS.get).startswith(b"HTTP/1.1 " + status)


@asynccontextmanager
async def serving(address: str = "127.0.0.1") -> AsyncIterator[int]:
    server = ChallengeServer(ANSWERS.get, address, 0)
    _, port = server.open()
    await server.start()
    try:
        yield port
    finally:
        await server.stop()
        await server.stop()


async def test_a_request_in_pieces() -> None:
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for octet in f"GET {PATH}{TOKEN} HTTP/1.1\r\nHost: mail.example.org\r\n\r\n".encode():
            writer.write(bytes([octet]))
            await writer.drain()
        answered = await reader.read()
        writer.close()
    assert answered.endswith(ANSWERS[TOKEN].encode())


async def test_a_head_without_end_is_cut() -> None:
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 2000)
        assert (await reader.readline()).startswith(b"HTTP/1.1 431")
        writer.close()


async def test_a_slow_client_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(challenge, "PATIENCE", 0.02)
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET ")
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()


async def test_idle_clients_do_not_keep_the_authority_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(challenge, "MOST_CONNECTIONS", 5)
    async with serving() as port:
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {PATH}{TOKEN} HTTP/1.1\r\n\r\n".encode())
        assert (await reader.read()).endswith(ANSWERS[TOKEN].encode())
        for _, each in [*idle, (reader, writer)]:
            each.close()


async def test_both_families_on_the_wildcard() -> None:
    server = ChallengeServer(ANSWERS.get, "::", 0)
    try:
        _, port = server.open()
    except OSError:
        pytest.skip("no IPv6 on this machine")
    await server.start()
    for address in ("127.0.0.1", "::1"):
        _, writer = await asyncio.open_connection(address, port)
        writer.close()
    await server.stop()


async def test_a_port_that_is_opened_and_never_started() -> None:
    server = ChallengeServer(ANSWERS.get, "127.0.0.1", 0)
    _, port = server.open()
    await server.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_the_web_port_answers_as_well() -> None:
    async def look() -> Health:
        return Health()

    app = make_app(look, no_metrics, ANSWERS.get)
    status, headers, body = await get(app, PATH + TOKEN)
    assert (status, body.decode(), headers["content-type"]) == (200, ANSWERS[TOKEN], "application/octet-stream")
    assert (await get(app, PATH + "other"))[0] == 404
    assert (await get(make_app(look, no_metrics), PATH + TOKEN))[0] == 404
