"""Builds the way of mail from its admission to the far end: queue, routes, carriers."""

import random
import sys
from collections.abc import Awaitable, Callable
from functools import partial

from postroom.app.chores import Chores
from postroom.app.opening import store_path
from postroom.app.process import cores
from postroom.app.rooms import Rooms
from postroom.dns.resolver import Resolver
from postroom.inbound.etrn import is_meant
from postroom.mail.delivery import RouteKind
from postroom.mail.trouble import StoreUnavailable
from postroom.mailbox.carrier import MailboxCarrier
from postroom.net.apart.keeper import Keeper
from postroom.outbound.apart.fleet import Fleet
from postroom.outbound.apart.remote import RemoteCarrier
from postroom.outbound.apart.setup import Setup
from postroom.outbound.carrier import SmtpCarrier
from postroom.outbound.command import CommandCarrier
from postroom.outbound.daily.door import ReportPost
from postroom.outbound.maildir import MaildirCarrier
from postroom.outbound.route import MailRouter
from postroom.outbound.shaping.traffic import Traffic
from postroom.outbound.tlsroom import TlsRoom
from postroom.protocol.smtp.events import Etrn
from postroom.queue.admission import QueueAdmission
from postroom.queue.carrier import Carrier
from postroom.queue.dsn import Resolve
from postroom.queue.outage import Outage
from postroom.queue.scheduler import Scheduler
from postroom.queue.schedules import Schedules
from postroom.queue.settle import Settler
from postroom.report.events import StoreTrouble
from postroom.report.road import CarriersEnded

HEED_SECONDS = 0.5
"""How often pauses and flushes are heard of, so that a command takes effect within a second."""

SITES_SECONDS = 0.5
"""How often what is learned of sites is written behind."""

TLS_SECONDS = 5.0
"""How often what was learnt of TLS on the road is written behind."""

RENEWAL_SECONDS = 600.0
REPORT_SECONDS = 60.0

_CARRIERS = (sys.executable, "-P", "-m", "postroom.app.carriers")
"""-P: nothing is loaded from the folder that the node was started in."""


class Road:
    """The rooms that mail passes on its way out. ``admission`` is where it comes in, ``scheduler`` what moves it.

    ``tls`` keeps what is known of TLS on the way, ``shaping`` what is learned of sites. Leases are taken for ``node``.
    ``processes`` is how many the server has without those that carry. What sessions
    have stored of messages since ``began`` may still be under way (None: there were no sessions before).
    """

    def __init__(self, rooms: Rooms, *, node: str, processes: int = 1, began: float | None = None) -> None:
        self._rooms = rooms
        self._processes = processes
        self._began = began
        self._settings = settings = rooms.settings
        self._store = rooms.store
        self._node = node
        self._clock = rooms.clock
        self._reporter = rooms.reporter
        self._resolver = rooms.resolver
        self.tls = TlsRoom(
            settings.outbound,
            settings.tlsrpt,
            hostname=settings.hostname,
            resolver=rooms.resolver,
            store=rooms.store.tls,
            clock=rooms.clock,
            reporter=rooms.reporter,
        )
        self._build_outbound(rooms.resolver, rooms.directory.is_local)
        self._carrier = self._make_carrier()
        self._build_queue()

    def _build_outbound(self, resolver: Resolver, is_local: Callable[[str], Awaitable[bool]]) -> None:
        settings, clock, store = self._settings, self._clock, self._store
        self._traffic = Traffic(
            settings.outbound,
            clock,
            self._reporter,
            shaping=settings.shaping,
            sources=settings.source,
            pools=settings.pool,
            warmups=settings.warmup,
            commands=settings.command,
        )
        self.shaping = self._traffic.keep(store.sites)
        self.router = MailRouter(
            hostname=settings.hostname,
            settings=settings.outbound,
            routes=settings.route,
            smarthosts=settings.smarthost,
            resolver=resolver,
            is_local=is_local,
            clock=clock,
            sts_of=self.tls.sts_of,
            maildirs=settings.maildir,
            commands=settings.command,
        )

    def _make_carrier(self) -> SmtpCarrier | Fleet:
        processes = self._settings.outbound.processes
        if processes == "auto":
            processes = 1 if cores() > self._processes else 0
        return self._fleet(processes) if processes else self._carrier_of_ours()

    def _carrier_of_ours(self) -> SmtpCarrier:
        settings = self._settings
        return SmtpCarrier(
            hostname=settings.hostname,
            settings=settings.outbound,
            smarthosts=settings.smarthost,
            resolver=self._resolver,
            content=self._store.queue,
            clock=self._clock,
            note_tls=self.tls.note,
            classifier=self._rooms.classifier,
            traffic=self._traffic,
        )

    def _fleet(self, processes: int) -> Fleet:
        settings = self._settings
        share = -(-settings.outbound.concurrency // processes)
        setup = Setup(
            hostname=settings.hostname,
            loop=settings.loop,
            outbound=settings.outbound.model_copy(update={"concurrency": share}),
            smarthosts=settings.smarthost,
            shaping=settings.shaping,
            sources=settings.source,
            pools=settings.pool,
            replies=settings.reply,
            dns=settings.dns,
            store=store_path(settings),
        ).to_bytes()
        remotes = [RemoteCarrier(self._traffic.shaper.rule_of, self.tls.note) for _ in range(processes)]
        keepers = [
            Keeper(one, _CARRIERS, setup, self._clock, self._reporter.tell, what="the carriers") for one in remotes
        ]
        return Fleet(remotes, keepers)

    def _build_queue(self) -> None:
        settings, clock, reporter, store = self._settings, self._clock, self._reporter, self._store
        node, resolve = self._node, self._rooms.back.returns.resolve
        outage = Outage(reporter)
        settler = Settler(
            settings=settings.queue,
            node=node,
            store=store.queue,
            dsns=self._rooms.dsns,
            clock=clock,
            reporter=reporter,
            outage=outage,
            chance=random.random,
            schedules=Schedules(settings.queue, settings.schedule, settings.route),
            suppression=settings.suppression,
        )
        self._by_kind = self._carriers_by_kind(resolve)
        self.scheduler = Scheduler(
            settings=settings.queue,
            concurrency=settings.outbound.concurrency,
            node=node,
            store=store.queue,
            router=self._traffic.naming(self.router),
            shaper=self._traffic.shaper,
            carriers=self._by_kind,
            settler=settler,
            clock=clock,
            reporter=reporter,
            outage=outage,
        )
        self.admission = QueueAdmission(
            store=store.queue, ready=self.scheduler, clock=clock, reporter=reporter, outage=outage
        )

    def _carriers_by_kind(self, resolve: Resolve) -> dict[RouteKind, Carrier]:
        settings, store = self._settings, self._store
        separator = settings.delivery.plus_separator
        by_kind: dict[RouteKind, Carrier] = dict.fromkeys(RouteKind, self._carrier)
        by_kind[RouteKind.MAILBOX] = MailboxCarrier(resolve, store.mailbox, self._clock)
        by_kind[RouteKind.MAILDIR] = MaildirCarrier(
            settings.maildir, store.queue, hostname=settings.hostname, separator=separator
        )
        by_kind[RouteKind.COMMAND] = CommandCarrier(settings.command, store.queue, separator=separator)
        return by_kind

    async def start(self) -> None:
        """Take up what an earlier process knew; have the carriers ready. Raises StoreUnavailable, OSError where they
        cannot be ready. If nobody asked for a process of theirs, they do without one.
        """
        await self._store.queue.recover(self._node, self._clock.now(), self._began)
        await self.tls.start()
        await self.shaping.start()
        await self._start_carriers()
        await self.scheduler.heed()

    def begin(self, chores: Chores) -> None:
        """What is done again and again: the queue's loop, and what is written behind."""
        chores.run(self.scheduler.run(), "scheduler")
        chores.repeat(HEED_SECONDS, self.scheduler.heed, "pauses and flushes")
        chores.repeat(SITES_SECONDS, self.shaping.tick, "sites")
        chores.repeat(TLS_SECONDS, self.tls.tick, "TLS levels and tallies")
        chores.repeat(RENEWAL_SECONDS, self.tls.renew, "MTA-STS policies")
        if self._settings.tlsrpt.enabled:
            rooms = self._rooms
            post = ReportPost(rooms.door(self.admission), rooms.ids.next, self._clock, self._settings.hostname)
            chores.repeat(REPORT_SECONDS, self.tls.reports(post).send_due, "TLS reports")

    def revive(self, asked: Etrn) -> None:
        """What an ETRN asked for is to be tried now."""
        self.scheduler.revive(partial(is_meant, asked))

    async def _start_carriers(self) -> None:
        if isinstance(self._carrier, SmtpCarrier):
            return
        try:
            await self._carrier.start()
        except OSError as error:
            if self._settings.outbound.processes != "auto":
                raise
            ours = self._carrier_of_ours()
            self._reporter.tell(CarriersEnded("did not start", 0, 0.0, f"{error}; the node carries mail itself"))
            for kind, carrier in self._by_kind.items():
                if carrier is self._carrier:
                    self._by_kind[kind] = ours
            self._carrier = ours

    async def drain(self, seconds: float) -> None:
        """Let what is under way end for ``seconds``, give the rest back, and part from the peers."""
        await self.scheduler.drain(seconds)
        await self._carrier.close()
        try:
            await self.shaping.flush()
        except StoreUnavailable as error:
            self._reporter.tell(StoreTrouble(f"sites: {error}"))

    async def close(self) -> None:
        """After ``drain``, when nothing is done again and again any more: write what has not been written."""
        await self.tls.close()
