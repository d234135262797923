"""Builds the way of mail from the door to the far end: intake, queue, routes, carriers."""

import random
from collections.abc import Awaitable, Callable

from postroom.clock import Clock
from postroom.config.model import Settings
from postroom.config.replyrules import reply_classifier
from postroom.directory.model import Resolution
from postroom.dns.resolver import Resolver
from postroom.mail.address import Address
from postroom.mail.delivery import RouteKind
from postroom.mail.message import QueueIds
from postroom.mailbox.carrier import MailboxCarrier
from postroom.outbound.carrier import SmtpCarrier
from postroom.outbound.route import MailRouter
from postroom.queue.carrier import Carrier
from postroom.queue.dsn import DsnMaker
from postroom.queue.intake import IntakeDoor
from postroom.queue.outage import Outage
from postroom.queue.scheduler import Scheduler
from postroom.queue.schedules import Schedules
from postroom.queue.settle import Settler
from postroom.queue.unshaped import Unshaped
from postroom.queue.ways import Ways
from postroom.report.reporter import Reporter
from postroom.storage.sqlite.store import SqliteStore


class Road:
    """The rooms that mail passes on its way out. ``door`` is where it comes in, ``scheduler`` what moves it."""

    def __init__(
        self,
        settings: Settings,
        store: SqliteStore,
        *,
        node: str,
        resolver: Resolver,
        resolve: Callable[[Address], Awaitable[Resolution]],
        is_local: Callable[[str], Awaitable[bool]],
        ids: QueueIds,
        clock: Clock,
        reporter: Reporter,
    ) -> None:
        self._settings = settings
        self._store = store
        self._node = node
        self._resolve = resolve
        self._ids = ids
        self._clock = clock
        self._reporter = reporter
        self._build_outbound(resolver, is_local)
        self._build_queue()

    def _build_outbound(self, resolver: Resolver, is_local: Callable[[str], Awaitable[bool]]) -> None:
        settings, clock, store = self._settings, self._clock, self._store
        self.router = MailRouter(
            hostname=settings.hostname,
            settings=settings.outbound,
            routes=settings.route,
            smarthosts=settings.smarthost,
            resolver=resolver,
            is_local=is_local,
            clock=clock,
        )
        self._carrier = SmtpCarrier(
            hostname=settings.hostname,
            settings=settings.outbound,
            smarthosts=settings.smarthost,
            resolver=resolver,
            content=store.queue,
            clock=clock,
            classifier=reply_classifier(settings.reply),
        )

    def _build_queue(self) -> None:
        settings, clock, reporter, store = self._settings, self._clock, self._reporter, self._store
        node, resolve = self._node, self._resolve
        ways = Ways(self.router)
        dsns = DsnMaker(
            hostname=settings.hostname,
            contents=store.queue,
            resolve=resolve,
            ids=self._ids,
            clock=clock,
            reporter=reporter,
            ways=ways,
        )
        outage = Outage(reporter)
        settler = Settler(
            settings=settings.queue,
            node=node,
            store=store.queue,
            dsns=dsns,
            clock=clock,
            reporter=reporter,
            outage=outage,
            chance=random.random,
            schedules=Schedules(settings.queue, settings.schedule, settings.route),
        )
        carriers: dict[RouteKind, Carrier] = dict.fromkeys(RouteKind, self._carrier)
        carriers[RouteKind.MAILBOX] = MailboxCarrier(resolve, store.mailbox, clock)
        self.scheduler = Scheduler(
            settings=settings.queue,
            concurrency=settings.outbound.concurrency,
            node=node,
            store=store.queue,
            router=self.router,
            shaper=Unshaped(concurrency=settings.outbound.concurrency, per_site=settings.outbound.concurrency_per_site),
            carriers=carriers,
            settler=settler,
            clock=clock,
            reporter=reporter,
            outage=outage,
        )
        self.door = IntakeDoor(
            store=store.queue,
            ready=self.scheduler,
            resolve=resolve,
            dsns=dsns,
            clock=clock,
            reporter=reporter,
            outage=outage,
            ways=ways,
        )

    async def drain(self, seconds: float) -> None:
        """Let what is under way end for ``seconds``, give the rest back, and part from the peers."""
        await self.scheduler.drain(seconds)
        await self._carrier.close()
