"""The web application: health, metrics, ACME challenges, the API. It shows what the composition root hands to it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from postroom import __version__
from postroom.web.api.access import Guarded
from postroom.web.api.application import PREFIX
from postroom.web.challenge import PATH, Answer, find_answer

HEALTH_TIMEOUT = 5.0  # seconds: what usual probes wait at most


@dataclass(frozen=True, slots=True)
class Health:
    """Whether this node can do its work: each check by name with ``"ok"`` or what is wrong."""

    checks: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ok(self) -> bool:
        """All checks are."""
        return all(finding == "ok" for finding in self.checks.values())


def make_app(
    health: Callable[[], Awaitable[Health]],
    metrics: Callable[[], Awaitable[bytes]],
    challenge: Answer | None = None,
    api: Guarded | None = None,
    pages: APIRouter | None = None,
) -> FastAPI:
    """The application. ``health`` looks at the node, ``metrics`` renders the Prometheus text, ``challenge`` answers
    those of an ACME authority, ``api`` is the API, ``pages`` are those for everyone, where there are such.
    """
    app = FastAPI(title="Postroom", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        """200 while the node works; 503 and the reason otherwise."""
        found = await _look(health)
        status = "ok" if found.is_ok else "failing"
        body = {"status": status, "version": __version__, "checks": dict(found.checks)}
        return JSONResponse(body, status_code=200 if found.is_ok else 503, headers={"Cache-Control": "no-store"})

    @app.get("/metrics")
    async def metrics_text() -> Response:
        """The Prometheus text format."""
        return Response(await metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    if challenge is not None:
        _serve_challenges(app, challenge)
    if pages is not None:
        app.include_router(pages)
    if api is not None:
        app.mount(PREFIX, api)
    return app


def make_public_app(pages: APIRouter) -> FastAPI:
    """What the port by HTTPS serves: the pages for everyone, and nothing of the node."""
    app = FastAPI(title="Postroom", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(pages)
    return app


def _serve_challenges(app: FastAPI, answer: Answer) -> None:
    @app.get(PATH + "{token}")
    async def acme_challenge(token: str) -> Response:
        """The answer to an HTTP-01 challenge (RFC 8555 §8.3); 404 for a token that is not ours."""
        found = find_answer(PATH + token, answer)
        if found is None:
            return Response(status_code=404)
        return Response(found, headers={"Content-Type": "application/octet-stream", "Cache-Control": "no-store"})


async def _look(health: Callable[[], Awaitable[Health]]) -> Health:
    """A look that takes too long or fails is a finding too."""
    try:
        return await asyncio.wait_for(health(), HEALTH_TIMEOUT)
    except TimeoutError:
        return Health({"health": f"no answer within {HEALTH_TIMEOUT:.0f} seconds"})
    except Exception as error:  # noqa: BLE001 - whatever keeps the node from looking at itself means that it is not well
        return Health({"health": f"{type(error).__name__}: {error}"})
