"""The certificate's upkeep as one piece of a running server: challenges answered, the keeper at work."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from pathlib import Path

from postroom.admin.acme import CertificateKeeper
from postroom.admin.acmeanswers import Answers
from postroom.admin.acmeauthority import AcmeAuthority
from postroom.admin.acmeshelf import Shelf
from postroom.clock import Clock
from postroom.config.certificates import AcmeSettings, TlsSettings
from postroom.net.sockets import BindError
from postroom.report.reporter import Reporter
from postroom.web.challenge import ChallengeServer


class CertificateUpkeep:
    """Made while ``acme.enabled``. ``open`` binds, ``start`` begins, ``stop`` ends; an order under way is given up."""

    def __init__(self, settings: AcmeSettings, hostname: str, data: Path) -> None:
        self._settings = settings
        self._hostname = hostname
        self._shelf = Shelf(data)
        self._answers = Answers()
        self._server = ChallengeServer(self.answer, settings.address, settings.port) if settings.port else None
        self._task: asyncio.Task[None] | None = None

    def answer(self, token: str) -> str | None:
        """What to say to a challenge, or None for one that is not ours."""
        return self._answers.get(token)

    def dress(self, tls: TlsSettings) -> TlsSettings:
        """The TLS settings with the certificate at hand in them, as soon as there is one."""
        return self._shelf.dress(tls)

    def open(self) -> None:
        """What may need root: the port, the folder, the files. Raises BindError and OSError."""
        self._shelf.prepare()
        self._authority = AcmeAuthority(self._settings, self._shelf, self._answers)
        if self._server is None:
            return
        address, port = self._settings.address, self._settings.port
        try:
            self._server.open()
        except OSError as error:
            raise BindError(
                f"cannot listen on {address} port {port} for ACME challenges: {error.strerror}; stop what listens "
                "there, or let it pass /.well-known/acme-challenge/ on to the web port and set [acme] port = 0"
            ) from error

    async def start(self, install: Callable[[], None], clock: Clock, reporter: Reporter) -> None:
        """Begin to answer and to keep. ``install`` makes listeners show what ``dress`` gives now."""
        if self._server is not None:
            await self._server.start()
        keeper = CertificateKeeper(
            settings=self._settings,
            hostname=self._hostname,
            shelf=self._shelf,
            authority=self._authority,
            install=install,
            clock=clock,
            reporter=reporter,
            chance=random.random,
        )
        self._task = asyncio.create_task(keeper.run(), name="certificate keeper")

    async def stop(self) -> None:
        """End. Harmless if it was never started."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self._server is not None:
            await self._server.stop()
