"""The web port tells whether the node works, and its metrics."""

import asyncio
import json

import pytest
from fastapi import FastAPI
from tests.fakes.metrics import no_metrics
from tests.fakes.reports import CLIENT

from postroom.report.events import SessionOpened
from postroom.report.metrics import Metrics
from postroom.web.app import Health, make_app


async def get(app: FastAPI, path: str) -> tuple[int, dict[str, str], bytes]:
    """One GET as the ASGI server would ask it."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [],
        "http_version": "1.1",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8025),
    }
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        sent.append(message)

    await app(scope, receive, send)
    headers = {key.decode(): value.decode() for key, value in sent[0]["headers"]}  # type: ignore[attr-defined]  # ASGI
    status, body = sent[0]["status"], b"".join(m["body"] for m in sent[1:])  # type: ignore[misc]  # ASGI
    assert isinstance(status, int)
    return status, headers, body


async def healthz(health: Health | Exception) -> tuple[int, dict[str, object]]:
    async def look() -> Health:
        if isinstance(health, Exception):
            raise health
        return health

    status, headers, body = await get(make_app(look, no_metrics), "/healthz")
    assert headers["cache-control"] == "no-store"
    return status, json.loads(body)


async def test_healthy() -> None:
    status, body = await healthz(Health({"store": "ok", "listeners": "ok"}))
    assert status == 200
    assert body["status"] == "ok"
    assert body["checks"] == {"store": "ok", "listeners": "ok"}


async def test_failing_says_what() -> None:
    status, body = await healthz(Health({"store": "disk full", "listeners": "ok"}))
    assert status == 503
    assert body["status"] == "failing"
    assert body["checks"] == {"store": "disk full", "listeners": "ok"}


async def test_a_look_that_fails_is_a_finding() -> None:
    status, body = await healthz(RuntimeError("boom"))
    assert (status, body["checks"]) == (503, {"health": "RuntimeError: boom"})


async def test_a_look_that_hangs_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postroom.web.app.HEALTH_TIMEOUT", 0.01)

    async def never() -> Health:
        await asyncio.Event().wait()
        return Health()

    status, _, body = await get(make_app(never, no_metrics), "/healthz")
    assert status == 503
    assert b"no answer within" in body


async def test_metrics() -> None:
    metrics = Metrics()
    metrics.tell(SessionOpened(CLIENT))

    async def look() -> Health:
        return Health()

    async def show() -> bytes:
        await asyncio.sleep(0)  # another process is asked
        return metrics.render()

    status, headers, body = await get(make_app(look, show), "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=")
    assert b'postroom_sessions_open{role="submission"} 1.0' in body


@pytest.mark.parametrize("path", ["/", "/docs", "/redoc", "/openapi.json"])
async def test_nothing_else_is_open(path: str) -> None:
    async def look() -> Health:
        return Health()

    assert (await get(make_app(look, no_metrics), path))[0] == 404
