"""The upkeep of the host's certificate as one piece of a running server: TLS opened with what there is, challenges
answered, the keeper at work. Without [acme] it is the certificate of the settings, and nothing else.
"""

import asyncio
import contextlib
import random
from pathlib import Path

from postroom.admin.acme import CertificateKeeper
from postroom.admin.acmeanswers import Answers
from postroom.admin.acmeauthority import AcmeAuthority
from postroom.admin.acmeshelf import Shelf
from postroom.clock import Clock
from postroom.config.certificates import AcmeSettings, TlsSettings
from postroom.net.sockets import BindError
from postroom.net.tls import ServerTls, server_tls
from postroom.report.reporter import Reporter
from postroom.web.challenge import ChallengeServer


class CertificateUpkeep:
    """``open`` binds, ``start`` begins, ``stop`` ends; an order under way is given up then."""

    def __init__(self, acme: AcmeSettings, tls: TlsSettings, hostname: str, data: Path) -> None:
        self._acme = acme
        self._tls_settings = tls
        self._hostname = hostname
        self._shelf = Shelf(data)
        self._answers = Answers()
        self._authority: AcmeAuthority | None = None
        self._server: ChallengeServer | None = None
        self._tls: ServerTls | None = None
        self._task: asyncio.Task[None] | None = None
        self.shown: tuple[str, ...] = ()
        """Where challenges are answered besides the web port, as ``acme address:port``."""

    def answer(self, token: str) -> str | None:
        """What to say to a challenge, or None for one that is not ours."""
        return self._answers.get(token)

    def open(self, now: float) -> ServerTls | None:
        """What may need root: port, folder, files. Returns the server's TLS, where a self-signed certificate stands in
        for one that is still to come. Raises BindError, OSError, CertificateError.
        """
        if not self._acme.enabled:
            self._tls = server_tls(self._tls_settings)
            return self._tls
        self._shelf.prepare()
        self._authority = AcmeAuthority(self._acme, self._shelf, self._answers)
        if self._acme.port:
            self._open_port()
        self._tls = server_tls(self._shelf.dress(self._tls_settings), stand_in_for=self._hostname, now=now)
        return self._tls

    def _open_port(self) -> None:
        address, port = self._acme.address, self._acme.port
        self._server = ChallengeServer(self.answer, address, port)
        try:
            host, port = self._server.open()
        except OSError as error:
            raise BindError(
                f"cannot listen on {address} port {port} for ACME challenges: {error.strerror}; stop what listens "
                "there, or let it pass /.well-known/acme-challenge/ on to the web port and set [acme] port = 0"
            ) from error
        self.shown = (f"acme [{host}]:{port}" if ":" in host else f"acme {host}:{port}",)

    async def start(self, clock: Clock, reporter: Reporter) -> None:
        """Begin to answer and to keep."""
        if self._server is not None:
            await self._server.start()
        if self._authority is None:
            return
        keeper = CertificateKeeper(
            settings=self._acme,
            hostname=self._hostname,
            shelf=self._shelf,
            authority=self._authority,
            install=lambda: self.reload(self._tls_settings),
            clock=clock,
            reporter=reporter,
            chance=random.random,
        )
        self._task = asyncio.create_task(keeper.run(), name="certificate keeper")

    def reload(self, tls: TlsSettings) -> None:
        """Show what the settings and the authority give now, from the next session on. On an exception all stays."""
        if self._tls is not None:
            self._tls.reload(self._shelf.dress(tls) if self._acme.enabled else tls)
            self._tls_settings = tls

    async def stop(self) -> None:
        """End. Harmless if it was never started."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self._server is not None:
            await self._server.stop()
