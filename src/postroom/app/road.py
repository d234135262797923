"""Builds the way of mail from the door to the far end: intake, queue, routes, carriers."""

import random
from collections.abc import Awaitable, Callable

from postroom.clock import Clock
from postroom.config.model import Settings
from postroom.dns.resolver import Resolver
from postroom.inbound.tagging import tagger_for
from postroom.mail.classify import Classifier
from postroom.mail.delivery import RouteKind
from postroom.mail.message import QueueIds
from postroom.mail.trouble import StoreUnavailable
from postroom.mailbox.carrier import MailboxCarrier
from postroom.outbound.carrier import SmtpCarrier
from postroom.outbound.command import CommandCarrier
from postroom.outbound.maildir import MaildirCarrier
from postroom.outbound.route import MailRouter
from postroom.outbound.shaping.traffic import Traffic
from postroom.outbound.tlsroom import TlsRoom
from postroom.queue.carrier import Carrier
from postroom.queue.dsn import DsnMaker
from postroom.queue.intake import IntakeDoor
from postroom.queue.outage import Outage
from postroom.queue.reporting import ReportAddresses
from postroom.queue.returning import Returns
from postroom.queue.scheduler import Scheduler
from postroom.queue.schedules import Schedules
from postroom.queue.settle import Settler
from postroom.queue.signing import Signer
from postroom.queue.ways import Ways
from postroom.report.events import StoreTrouble
from postroom.report.reporter import Reporter
from postroom.storage.sqlite.store import SqliteStore


class Road:
    """The rooms that mail passes on its way out. ``door`` is where it comes in, ``scheduler`` what moves it.

    ``tls`` keeps what is known of TLS on the way, ``shaping`` what is learned of sites.
    """

    def __init__(
        self,
        settings: Settings,
        store: SqliteStore,
        *,
        node: str,
        resolver: Resolver,
        returns: Returns,
        reports: ReportAddresses,
        classifier: Classifier,
        is_local: Callable[[str], Awaitable[bool]],
        ids: QueueIds,
        clock: Clock,
        reporter: Reporter,
        signer: Signer | None = None,
    ) -> None:
        self._signer = signer
        self._settings = settings
        self._store = store
        self._node = node
        self._returns = returns
        self._reports = reports
        self._ids = ids
        self._clock = clock
        self._reporter = reporter
        self.tls = TlsRoom(
            settings.outbound,
            settings.tlsrpt,
            hostname=settings.hostname,
            resolver=resolver,
            store=store.tls,
            clock=clock,
            reporter=reporter,
        )
        self._build_outbound(resolver, classifier, is_local)
        self._build_queue()

    def _build_outbound(
        self, resolver: Resolver, classifier: Classifier, is_local: Callable[[str], Awaitable[bool]]
    ) -> None:
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
        self._carrier = SmtpCarrier(
            hostname=settings.hostname,
            settings=settings.outbound,
            smarthosts=settings.smarthost,
            resolver=resolver,
            content=store.queue,
            clock=clock,
            note_tls=self.tls.note,
            classifier=classifier,
            traffic=self._traffic,
        )

    def _build_queue(self) -> None:
        settings, clock, reporter, store = self._settings, self._clock, self._reporter, self._store
        node, resolve = self._node, self._returns.resolve
        ways = Ways(self.router, separator=settings.delivery.plus_separator, tagger=tagger_for(settings.route))
        dsns = DsnMaker(
            hostname=settings.hostname,
            contents=store.queue,
            resolve=resolve,
            ids=self._ids,
            clock=clock,
            reporter=reporter,
            ways=ways,
            language=settings.queue.dsn_language,
            signer=self._signer,
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
            suppression=settings.suppression,
        )
        carriers: dict[RouteKind, Carrier] = dict.fromkeys(RouteKind, self._carrier)
        carriers[RouteKind.MAILBOX] = MailboxCarrier(resolve, store.mailbox, clock)
        separator = settings.delivery.plus_separator
        carriers[RouteKind.MAILDIR] = MaildirCarrier(
            settings.maildir, store.queue, hostname=settings.hostname, separator=separator
        )
        carriers[RouteKind.COMMAND] = CommandCarrier(settings.command, store.queue, separator=separator)
        self.scheduler = Scheduler(
            settings=settings.queue,
            concurrency=settings.outbound.concurrency,
            node=node,
            store=store.queue,
            router=self._traffic.naming(self.router),
            shaper=self._traffic.shaper,
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
            returns=self._returns,
            signer=self._signer,
            reports=self._reports,
        )

    async def drain(self, seconds: float) -> None:
        """Let what is under way end for ``seconds``, give the rest back, and part from the peers."""
        await self.scheduler.drain(seconds)
        await self._carrier.close()
        try:
            await self.shaping.flush()
        except StoreUnavailable as error:
            self._reporter.tell(StoreTrouble(f"sites: {error}"))
