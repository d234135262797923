"""Serves the web application with uvicorn inside the server's own loop; signals stay the application's business."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI

from postroom.config.model import WebSettings
from postroom.config.pages import HttpsSettings
from postroom.net.sockets import bind
from postroom.web.connection import BoundedProtocol

MOST_REQUESTS = 100  # at once; more get 503
GRACE = 5  # seconds that open requests have when the server stops
BACKLOG = 128


Contexts = Callable[[], ssl.SSLContext]


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: uvicorn would take SIGTERM and SIGINT away from the mail server's drain."""
        yield


class WebServer:
    """One open web port. ``open`` binds, ``start`` serves, ``stop`` ends gracefully."""

    def __init__(self, app: FastAPI, settings: WebSettings | HttpsSettings, contexts: Contexts | None = None) -> None:
        """``contexts`` gives the TLS context for a port by HTTPS; it is asked when the port is served."""
        self._settings = settings
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            http=BoundedProtocol,
            server_header=False,
            limit_concurrency=MOST_REQUESTS,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=GRACE,
            backlog=BACKLOG,
            ssl_context_factory=None if contexts is None else lambda _config, _default: contexts(),
        )
        self._server = _Server(config)
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None

    def open(self) -> tuple[str, int]:
        """Bind the port (before privileges are dropped); returns address and port. OSError if it is taken."""
        address = self._settings.address
        listening = bind(address, self._settings.port, backlog=BACKLOG, both_families=address == "::")
        self._socket = listening
        host, port = listening.getsockname()[:2]
        return str(host), int(port)

    async def start(self) -> None:
        """Begin to serve, in a task of its own. Opens the port if ``open`` was not called."""
        if self._socket is None:
            self.open()
        assert self._socket is not None  # noqa: S101 - open sets it or raises
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="web")

    async def stop(self) -> None:
        """Close the port; open requests may finish. Harmless if it was never started."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
            self._task = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
