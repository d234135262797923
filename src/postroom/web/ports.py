"""The web ports of a running server as one piece: the one for the operator, and the one by HTTPS for everyone."""

from fastapi import APIRouter, FastAPI

from postroom.config.model import Settings
from postroom.net.certificates import Certificate
from postroom.net.sockets import BindError
from postroom.net.tls import ServerTls
from postroom.web.app import make_public_app
from postroom.web.https import HttpsContexts
from postroom.web.server import WebServer


class WebPorts:
    """``open`` binds, ``start`` serves, ``stop`` ends gracefully."""

    def __init__(self, settings: Settings, app: FastAPI, pages: APIRouter) -> None:
        self._settings = settings
        self._app = app
        self._pages = pages
        self._servers: list[WebServer] = []
        self._tls: ServerTls | None = None
        self.shown: list[str] = []
        """The open ports, as ``web address:port``."""

    def open(self) -> None:
        """What may need root. Raises BindError, which says what to do."""
        web, https = self._settings.web, self._settings.https
        if web.enabled:
            self._bind("web", WebServer(self._app, web), web.address, web.port)
        if https.enabled:
            server = WebServer(make_public_app(self._pages), https, lambda: HttpsContexts(self._certificates).context)
            self._bind("https", server, https.address, https.port)

    async def start(self, tls: ServerTls | None) -> None:
        """Serve; ``tls`` has the certificates for HTTPS."""
        self._tls = tls
        for server in self._servers:
            await server.start()

    async def stop(self) -> None:
        """Close the ports; open requests may finish. Harmless if they were never opened."""
        for server in self._servers:
            await server.stop()

    def _certificates(self) -> tuple[Certificate, ...]:
        assert self._tls is not None  # noqa: S101 - the settings were checked: [https] needs a certificate
        return self._tls.certificates

    def _bind(self, name: str, server: WebServer, address: str, port: int) -> None:
        try:
            host, number = server.open()
        except OSError as error:
            raise BindError(
                f"cannot listen on {address} port {port} for {name}: {error.strerror}; "
                f"stop what listens there, or change [{name}] port, or set [{name}] enabled = false"
            ) from error
        self._servers.append(server)
        self.shown.append(f"{name} [{host}]:{number}" if ":" in host else f"{name} {host}:{number}")
