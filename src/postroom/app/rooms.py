"""The rooms that doors and queue both need, whatever process they stand in: who lives here, who signs, the way in."""

from postroom.admin.returnsroom import ReturnsRoom
from postroom.app.trust import TrustRooms
from postroom.clock import Clock
from postroom.config.model import Settings
from postroom.config.replyrules import reply_classifier
from postroom.directory.directory import Directory
from postroom.dns.cache import CachingResolver
from postroom.dns.dnspython import DnspythonResolver
from postroom.inbound.tagging import tagger_for
from postroom.mail.message import QueueIds
from postroom.mailauth.keys.sealing import Sealer
from postroom.outbound.route import MailRouter
from postroom.queue.admission import Admission
from postroom.queue.dsn import DsnMaker
from postroom.queue.intake import IntakeDoor
from postroom.queue.ways import Ways
from postroom.report.metrics import Metrics
from postroom.report.reporter import Reporter
from postroom.storage.sqlite.store import SqliteStore


class Rooms:
    """``secret`` is the store's own, ``number`` what the queue ids of this process end in (see ``QueueIds``)."""

    def __init__(
        self,
        settings: Settings,
        store: SqliteStore,
        *,
        secret: bytes,
        number: int,
        sealer: Sealer,
        clock: Clock,
        reporter: Reporter,
        metrics: Metrics,
    ) -> None:
        self.settings = settings
        self.store = store
        self.clock = clock
        self.reporter = reporter
        self.directory = Directory(store.directory, settings.delivery, clock)
        self.ids = QueueIds(clock.now, number)
        self.resolver = CachingResolver(DnspythonResolver(settings.dns), clock, settings.dns.cache)
        self.classifier = reply_classifier(settings.reply)
        self.trust = TrustRooms(
            settings,
            store,
            directory=self.directory,
            resolver=self.resolver,
            sealer=sealer,
            clock=clock,
            reporter=reporter,
            metrics=metrics,
        )
        self.back = ReturnsRoom(
            settings,
            store,
            secret=secret,
            resolve=self.trust.resolve,
            is_local=self.directory.is_local,
            classifier=self.classifier,
            clock=clock,
            reporter=reporter,
        )
        self._ways = self._make_ways()
        self.dsns = DsnMaker(
            hostname=settings.hostname,
            contents=store.queue,
            resolve=self.back.returns.resolve,
            ids=self.ids,
            clock=clock,
            reporter=reporter,
            ways=self._ways,
            language=settings.queue.dsn_language,
            signer=self.trust.signer,
        )

    def _make_ways(self) -> Ways:
        settings = self.settings
        return Ways(
            MailRouter(
                hostname=settings.hostname,
                settings=settings.outbound,
                routes=settings.route,
                smarthosts=settings.smarthost,
                resolver=self.resolver,
                is_local=self.directory.is_local,
                clock=self.clock,
                maildirs=settings.maildir,
                commands=settings.command,
            ),
            separator=settings.delivery.plus_separator,
            tagger=tagger_for(settings.route),
        )

    def door(self, admission: Admission) -> IntakeDoor:
        """The one way in, to the queue that ``admission`` leads to."""
        return IntakeDoor(
            admission=admission,
            resolve=self.back.returns.resolve,
            dsns=self.dsns,
            clock=self.clock,
            reporter=self.reporter,
            ways=self._ways,
            returns=self.back.returns,
            signer=self.trust.signer,
            reports=self.trust.addresses,
        )
