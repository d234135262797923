"""One node: builds the rooms from the settings, opens the ports, and ends in good order."""

import asyncio
import os
import signal
import zlib
from collections.abc import Sequence
from pathlib import Path

from postroom.access.pop3 import POP3_ROLES, Pop3Service
from postroom.admin.alerting import Alerts
from postroom.admin.guardroom import Guardroom
from postroom.app.chores import Chores
from postroom.app.opening import open_store
from postroom.app.process import allow_files, calm_collector, cores, show_host, tell_service_manager
from postroom.app.queuewire import QueueSetup
from postroom.app.remotequeue import Queue, RemoteQueue
from postroom.app.road import Road
from postroom.app.rooms import Rooms
from postroom.clock import Clock, SystemClock
from postroom.config.load import load
from postroom.config.model import Settings
from postroom.config.problems import SettingsError
from postroom.directory.login import LoginDesk
from postroom.directory.sources.opening import open_credentials
from postroom.inbound.service import SMTP_ROLES, House, SmtpService
from postroom.inbound.tagging import tagger_for
from postroom.mail.session import Role
from postroom.mail.trouble import StoreUnavailable
from postroom.mailauth.keys.sealing import open_sealer
from postroom.net.certificates import Certificate
from postroom.net.certificatewatch import CertificateWatch
from postroom.net.gate import Gate
from postroom.net.listener import Listener, Service
from postroom.net.privileges import become, choose_user, hand_over
from postroom.net.sockets import Opened, inherited_sockets, open_listeners
from postroom.net.sweeper import Sweeper
from postroom.outbound.daily.door import ReportPost
from postroom.report.events import Report, ServerDraining, ServerReady, SettingsReloaded
from postroom.report.log import Log
from postroom.report.metrics import Metrics
from postroom.report.reporter import Reporter
from postroom.report.road import QueueEnded
from postroom.storage.sqlite.migrate import migrations
from postroom.storage.sqlite.store import SqliteStore
from postroom.web.api.application import open_api
from postroom.web.api.suppressions import SuppressionDesk, suppression_routes
from postroom.web.app import Health, make_app
from postroom.web.pages.publication import publication_of, publication_routes
from postroom.web.ports import WebPorts
from postroom.web.upkeep import CertificateUpkeep

REFRESH_SECONDS = 0.5
"""How often the directory asks whether it was changed, so that a command takes effect within a second."""

GUARD_SECONDS = 0.5
"""How often what guards the door is written behind, and commands that change it are heard."""

RETURNED_SECONDS = 1.0
"""How often mail that came back is looked at."""

GAUGE_SECONDS = 15.0
CERTIFICATE_SECONDS = 60.0
EXPIRY_SECONDS = 3600.0

HEALTH_WITHIN = 5.0
"""Seconds after which a store that does not answer is not well."""

ALERT_GRACE = 5.0
"""How long the end waits for alerts that are still to be sent."""


class Node:
    """One running server process."""

    def __init__(self, settings: Settings, config_path: Path, log: Log, clock: Clock | None = None) -> None:
        self._settings = settings
        self._config_path = config_path
        self._log = log
        self._clock = clock or SystemClock()
        self._name = settings.node or settings.hostname
        self._metrics = Metrics()
        self._alerts = Alerts(settings.alert, node=self._name, hostname=settings.hostname, clock=self._clock)
        self._reporter = Reporter([log.tell], [self._metrics.choose, self._alerts.choose])
        self._upkeep = CertificateUpkeep(settings.acme, settings.tls, settings.hostname, settings.data)
        self._sweeper = Sweeper()
        self._gate = Gate(settings.connections, settings.flood, self._clock)
        self._listeners: list[Listener] = []
        self._chores = Chores(self._clock, self._reporter)
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """From binding the ports to the end of the drain."""
        settings = self._settings
        allow_files(settings)
        opened = open_listeners(settings.listener, inherited_sockets(os.environ, os.getpid()))
        web = self._make_web()
        web.open()
        self._tls = self._upkeep.open(self._clock.now())
        self._sealer = open_sealer(settings.dkim.key_file)
        self._become_user()
        self._apart = await self._open_queue()
        try:
            async with open_store(settings, None if self._apart is None else self._apart.writer) as store:
                self._build(store, await store.directory.secret())
                await self._start(opened, web)
                try:
                    await self._stop.wait()
                finally:
                    await self._end(web)
        finally:
            if self._apart is not None:
                await self._apart.end()

    async def _open_queue(self) -> RemoteQueue | None:
        """The process that has the queue; None where this one has it. OSError where the settings ask for what cannot be
        had.
        """
        wanted = self._settings.queue.apart
        if wanted is False or (wanted == "auto" and cores() < 2):
            return None
        wanted_here = tuple(self._alerts.kinds())
        began = self._clock.now()
        setup = QueueSetup(self._settings, self._name, self._log.form, self._sealer, wanted_here, began)
        queue = RemoteQueue(
            setup,
            clock=self._clock,
            tell=self._reporter.tell,
            pass_on=self._log.pass_on,
            hear=self._hear,
            inherit=self._metrics.inherit,
        )
        try:
            await queue.open()
        except OSError as error:
            if wanted != "auto":
                raise
            self._reporter.tell(QueueEnded("did not start", 0, 0.0, f"{error}; the node has the queue itself"))
            return None
        return queue

    def _hear(self, report: Report) -> None:
        """What was told in the process that has the queue, and counts for an alert."""
        hearer = self._alerts.choose(type(report))
        if hearer is not None:
            hearer(report)

    # Building ----------------------------------------------------------------------

    def _become_user(self) -> None:
        self._settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        user = choose_user(self._settings.user)
        if user:
            hand_over(self._settings.data, user)
            migrations()  # as in open_store
            become(user)

    def _build(self, store: SqliteStore, secret: bytes) -> None:
        """The rooms, from the store outwards."""
        self._store = store
        number = zlib.crc32(self._name.encode()) & 511  # commands have 512 and up
        self._rooms = rooms = Rooms(
            self._settings,
            store,
            secret=secret,
            number=number,
            sealer=self._sealer,
            clock=self._clock,
            reporter=self._reporter,
            metrics=self._metrics,
        )
        self._credentials = open_credentials(
            self._settings.auth,
            self._settings.ldap,
            self._settings.oauth,
            directory=rooms.directory,
            store=store.directory,
            clock=self._clock,
            reporter=self._reporter,
            certificates=self._settings.tls.client_ca is not None,
        )
        self._guard = Guardroom(self._settings, store.guard, self._clock, self._reporter)
        self._gate.banned = self._guard.lockout.banned
        self._queue: Queue = self._apart or Road(rooms, node=self._name)
        self._door = rooms.door(self._queue.admission)
        self._notices = self._guard.notices(self._door, rooms.directory.is_local, rooms.ids.next)
        self._build_services()

    def _build_services(self) -> None:
        """What speaks on the ports, by role."""
        settings = self._settings
        house = House(
            hostname=settings.hostname,
            settings=settings.smtp,
            flood=settings.flood,
            tls_timeout=settings.connections.tls_timeout,
            offers_tls=self._tls is not None,
            directory=self._rooms.directory,
            checker=self._credentials,
            door=self._door,
            store=self._store.queue,
            queue_ids=self._rooms.ids,
            clock=self._clock,
            reporter=self._reporter,
            limits=self._guard.limiter,
            lockout=self._guard.lockout,
            tagger=tagger_for(settings.route),
            resolver=self._rooms.back.returns,
            suppressions=self._rooms.back.suppressions,
            checks=self._rooms.trust.checks,
            revive=self._queue.revive,
        )
        self._services: dict[Role, Service] = {role: SmtpService(role, house) for role in SMTP_ROLES}
        for role in POP3_ROLES:
            self._services[role] = Pop3Service(
                role,
                settings=settings.pop3,
                tls_timeout=settings.connections.tls_timeout,
                node=self._name,
                offers_tls=self._tls is not None,
                desk=LoginDesk(self._credentials, self._guard.lockout, self._reporter),
                mailboxes=self._store.mailbox,
                clock=self._clock,
                reporter=self._reporter,
            )

    def _make_web(self) -> WebPorts:
        """Nobody asks it before the rooms are built."""
        settings = self._settings
        challenge = self._upkeep.answer if settings.acme.enabled else None
        api = open_api(settings.web.token_file, suppression_routes(self._suppression_desk()))
        pages = publication_routes(publication_of(settings, self._is_local, self._signer))
        return WebPorts(settings, make_app(self._health, self._render_metrics, challenge, api, pages), pages)

    async def _is_local(self, domain: str) -> bool:
        return await self._rooms.directory.is_local(domain)

    def _signer(self) -> Certificate | None:
        """Who signs profiles for mail programs; not what only stands in for a certificate to come."""
        return None if self._tls is None or self._tls.stands_in else self._tls.certificates[0]

    def _suppression_desk(self) -> SuppressionDesk:
        """What the API asks: nobody asks before the rooms are built."""
        bounces = self._settings.suppression.bounces
        return SuppressionDesk(lambda: self._store.suppression, self._is_local, bounces, self._clock)

    # Running -----------------------------------------------------------------------

    async def _start(self, opened: Sequence[Opened], web: WebPorts) -> None:
        await self._rooms.directory.refresh()
        await self._guard.start()
        await self._queue.start()
        await self._rooms.trust.start()
        await self._rooms.back.refresh()
        for each in opened:
            self._listeners.append(
                Listener(
                    each.sockets,
                    self._services[each.settings.role],
                    gate=self._gate,
                    server_tls=self._tls,
                    proxy_networks=each.settings.proxy_networks,
                    settings=self._settings.connections,
                    sweeper=self._sweeper,
                    reporter=self._reporter,
                )
            )
        shown = [f"{o.settings.role.value} {show_host(a)}:{port}" for o in opened for a, port in o.addresses]
        await web.start(self._tls)
        shown += web.shown
        self._begin_chores()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        for listener in self._listeners:
            listener.start()
        self._alerts.start(self._reporter.tell)
        await self._upkeep.start(self._clock, self._reporter)
        shown += self._upkeep.shown
        calm_collector()
        self._reporter.tell(ServerReady(tuple(shown)))
        tell_service_manager("READY=1")

    def _begin_chores(self) -> None:
        """What is done again and again beside the mail."""
        self._queue.begin(self._chores)
        self._chores.repeat(REFRESH_SECONDS, self._rooms.directory.refresh, "directory refresh")
        self._chores.repeat(GUARD_SECONDS, self._guard.tick, "limits and bans")
        self._chores.repeat(REFRESH_SECONDS, self._rooms.back.refresh, "suppression list")
        self._chores.repeat(RETURNED_SECONDS, self._rooms.back.work, "returned mail")
        self._chores.repeat(0, self._notices.write, "notices")
        post = ReportPost(self._door, self._rooms.ids.next, self._clock, self._settings.hostname)
        self._rooms.trust.begin(self._chores, post)
        self._chores.repeat(GAUGE_SECONDS, self._measure, "queue gauges")
        self._chores.repeat(EXPIRY_SECONDS, self._forget, "history expiry")
        watch = CertificateWatch(
            self._tls,
            self._settings.tls.warn_before,
            clock=self._clock,
            reporter=self._reporter,
            show=self._metrics.set_certificates,
        )
        self._chores.repeat(CERTIFICATE_SECONDS, watch.look, "certificate watch")

    async def _end(self, web: WebPorts) -> None:
        """Drain: sessions first, because they still bring mail in; then the queue; then the rest."""
        timeout = self._settings.connections.drain_timeout
        tell_service_manager("STOPPING=1")
        self._reporter.tell(ServerDraining(self._gate.open))
        await asyncio.gather(*(listener.drain(timeout) for listener in self._listeners))
        await self._queue.drain(timeout)
        await self._chores.stop()
        await self._guard.close()
        await self._queue.close()
        await self._rooms.trust.close()
        await self._upkeep.stop()
        await self._alerts.stop(ALERT_GRACE)
        await web.stop()
        await self._credentials.close()
        self._sweeper.stop()

    async def _measure(self) -> None:
        counts = await self._store.queue.counts()
        age = 0.0 if counts.oldest is None else max(self._clock.now() - counts.oldest, 0.0)
        by_state = {state.value: count for state, count in counts.by_state.items()}
        self._metrics.set_queue(messages=counts.messages, by_state=by_state, oldest_seconds=age)
        self._metrics.set_banned(self._guard.lockout.holding())

    async def _forget(self) -> None:
        await self._rooms.back.expire()
        await self._rooms.trust.expire()
        await self._store.history.expire(self._clock.now() - self._settings.queue.history)

    def _reload(self) -> None:
        """SIGHUP: certificates and log level at once; the rest of the settings is checked and waits for a restart."""
        try:
            settings = load(self._config_path)
            self._upkeep.reload(settings.tls)
        except (SettingsError, OSError, ValueError) as error:
            self._reporter.tell(SettingsReloaded(str(error)))
            return
        self._log.set_level(settings.log.level)
        if self._apart is not None:
            self._apart.set_level(settings.log.level)
        taken = {"tls", "log"}
        old, new = dict(self._settings), dict(settings)
        waiting = tuple([name for name in new if name not in taken and new[name] != old[name]])
        self._reporter.tell(SettingsReloaded(waiting=waiting))

    async def _render_metrics(self) -> bytes:
        others = [] if self._apart is None else await self._apart.metrics()
        try:
            return self._metrics.render(others)
        except ValueError:  # another version's: the files were changed under a node that runs
            return self._metrics.render()

    async def _health(self) -> Health:
        checks = {"listeners": "ok" if self._listeners and not self._stop.is_set() else "not accepting"}
        try:
            async with asyncio.timeout(HEALTH_WITHIN):
                await self._store.queue.write_chunks(())  # a commit of the kind that a disk without room refuses
            checks["store"] = "ok"
        except StoreUnavailable as error:
            checks["store"] = str(error)
        except TimeoutError:
            checks["store"] = f"no answer within {HEALTH_WITHIN:.0f} seconds"
        return Health(checks)
