"""What comes back, put together: return paths, the suppression list, and who looks at bounces and complaints."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from postroom.clock import Clock
from postroom.config.model import Settings
from postroom.directory.model import Resolution
from postroom.mail.address import Address
from postroom.mail.bounces.read import read_bounce
from postroom.mail.classify import Classifier
from postroom.mail.returnpath import ReturnPaths
from postroom.queue.carrier import ContentSource
from postroom.queue.returned import ReturnDesk
from postroom.queue.returning import Returns
from postroom.queue.returnmodel import ReturnedStore
from postroom.report.history import HistoryStore
from postroom.report.reporter import Reporter
from postroom.reputation.listing import SuppressionList
from postroom.reputation.store import SuppressionStore


class ReturnsStore(Protocol):
    """The store as far as it is asked here."""

    @property
    def queue(self) -> ContentSource: ...  # noqa: D102 - the name says it
    @property
    def history(self) -> HistoryStore: ...  # noqa: D102
    @property
    def returned(self) -> ReturnedStore: ...  # noqa: D102
    @property
    def suppression(self) -> SuppressionStore: ...  # noqa: D102


class ReturnsRoom:
    """One for each node. ``refresh`` it twice a second, let it ``work`` every second, ``expire`` it every hour.

    ``returns`` is asked by the door and whoever resolves addresses, ``suppressions`` by policy. ``secret`` is the
    store's own. ValueError where ``returns.complaints`` has something that is no address.
    """

    def __init__(
        self,
        settings: Settings,
        store: ReturnsStore,
        *,
        secret: bytes,
        resolve: Callable[[Address], Awaitable[Resolution]],
        is_local: Callable[[str], Awaitable[bool]],
        classifier: Classifier,
        clock: Clock,
        reporter: Reporter,
    ) -> None:
        self._store = store
        self._clock = clock
        paths = ReturnPaths(secret, settings.returns.lifetime)
        self.suppressions = SuppressionList(store.suppression, settings.suppression)
        self.returns = Returns(
            settings=settings.returns,
            paths=paths,
            resolve=resolve,
            is_local=is_local,
            history=store.history,
            clock=clock,
        )
        desk = ReturnDesk(
            store=store.returned,
            contents=store.queue,
            history=store.history,
            paths=paths,
            read=partial(read_bounce, classifier=classifier),
            hostname=settings.hostname,
            returns=settings.returns,
            suppression=settings.suppression,
            reports=settings.reports,
            clock=clock,
            reporter=reporter,
        )
        self.refresh = self.suppressions.refresh
        self.work = desk.work

    async def expire(self) -> None:
        """Forget entries that have ended."""
        await self._store.suppression.expire(self._clock.now())
